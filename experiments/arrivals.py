"""Requests that arrive step by step: is what was forgotten earlier still gone, and what is left of the model?

    python experiments/arrivals.py --alg_name MEMIT --steps 20 --size 10

Three ways side by side: the ledger's joint solve, the method again and again on its own result, and AlphaEdit, which
protects the keys of earlier steps. Every step is scored and kept; the same command goes on where it was stopped.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from experiments.reporting.table import aligned
from experiments.running.script_settings import ArrivalsSettings
from util import paths
from util.runs import check_matplotlib, check_writable, cli, write_json


def main(argv: Sequence[str] | None = None) -> None:
    """Check, load, go through the steps of each arm, write the figures and the picture, print the last step's."""
    settings = ArrivalsSettings.parse(argv, "arrivals.py", __doc__)
    folder = Path(settings.output) if settings.output else paths.results_dir() / "arrivals"
    check_writable(folder, "--output")
    if not settings.skip_plot:
        check_matplotlib("the picture", "give --skip_plot")
    from experiments.requests.over_time import curves, prepared  # these load torch, which --help need not wait for
    from experiments.requests.over_time_plot import draw_curves
    from experiments.running.measurer import Measurer
    from experiments.running.reading import read_hparams
    from experiments.running.session import open_session

    run = settings.run_settings()
    hparams = [read_hparams(run, settings.alg_name)]
    measurer = Measurer(open_session(run, [settings.ds_name], hparams))
    made = curves(prepared(measurer, run, settings.size, folder), settings.arms)
    title = f"{Path(settings.model_name).name}, {settings.alg_name}: {settings.steps} steps of {settings.size} facts"
    write_json(folder / "arrivals.json", {"title": title, "arguments": settings.model_dump(mode="json"), "arms": made})
    if not settings.skip_plot:
        draw_curves(made, title, folder / "arrivals.svg")
    if not settings.quiet:
        print(table(made))
    print(folder / "arrivals.json")


COLUMNS = {
    "facts": ("facts", "{:.0f}"),
    "earlier": ("earlier ↓", "{:.1f}"),
    "latest": ("latest ↓", "{:.1f}"),
    "paraphrases": ("paraphrases ↓", "{:.1f}"),
    "specificity": ("Spe ↑", "{:.1f}"),
    "retain": ("retain ↑", "{:.1f}"),
    "ppl": ("PPL ↓", "{:.2f}"),
    "seconds": ("seconds", "{:.1f}"),
}
"""Figure → its heading and how it is written."""


def table(made: dict[str, list[dict[str, float | None]]]) -> str:
    """The base and the last step of each arm, and what the columns mean."""
    first = next(iter(made.values()))[0]
    rows = {"base": first} | {f"{arm}, step {len(steps) - 1}": steps[-1] for arm, steps in made.items()}
    cells = [["", *(heading for heading, _ in COLUMNS.values())]]
    for name, figures in rows.items():
        values = [(figures.get(column), written) for column, (_, written) in COLUMNS.items()]
        cells.append([name, *("" if value is None else written.format(value) for value, written in values)])
    return f"{aligned(cells)}\nearlier, latest: per cent of the facts of the steps before, of this step, still answered"


if __name__ == "__main__":
    cli(main)
