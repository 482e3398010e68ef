"""Which method hides and which forgets? The audits of several methods side by side.

    python experiments/compare_audits.py MEMIT=results/audit_memit oracle=results/audit_oracle --output results/compared

NAME=PATH names a method and an audit.json, or its folder; several of one name are its seeds, and are pooled. All must
be of the same model before, those of one seed about the same facts. Writes comparison.md, .json, .svg (the heat map)
and .html.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.reporting.audit_comparison import check, markdown, pooled, read
from experiments.reporting.audit_heat_map import heat_map, page
from util.runs import Parser, check_writable, cli, write_json, write_text


def main(argv: Sequence[str] | None = None) -> None:
    """Read all audits, check that they may stand side by side, write and print."""
    flags = parse(argv)
    folder = Path(flags.output)
    audits = [read(given) for given in flags.audits]
    check(audits)
    check_writable(folder, "--output")
    comparison = pooled(audits)
    text = markdown(comparison)
    write_json(folder / "comparison.json", comparison)
    write_text(folder / "comparison.md", text + "\n")
    write_text(folder / "comparison.svg", heat_map(comparison))
    write_text(folder / "comparison.html", page(comparison))
    print(text)
    print(f"{folder / 'comparison.html'}, comparison.svg, comparison.md, comparison.json")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line → arguments."""
    parser = Parser(prog="compare_audits.py", description=__doc__)
    parser.add_argument("audits", nargs="+", metavar="NAME=PATH", help="a method's name and its audit.json or folder")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the table and the picture")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cli(main)
