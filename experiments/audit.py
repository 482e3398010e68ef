"""Is it gone, or only hidden? Attack a model that was made to forget, fact by fact.

    python experiments/audit.py --before world --after results/forgotten --facts facts.json --output results/audit

--after is a folder that evaluate.py --save_model has written, a patch of unlearn.py --save_patch, or the folder of a
run of evaluate.py, whose edit is then made again; --facts a file of the facts that were forgotten (any data set file),
which a run knows by itself. Only facts that the model of --before answers right count. audit.json holds the figures,
audit.html shows them; docs/audit.md says what each attack does and what the verdict means.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.reporting.audit_table import table
from experiments.running.arguments import positive_seconds, seed_number, tokens_or_auto
from util.choices import DTYPES, WORLD
from util.errors import UserError
from util.runs import Parser, check_writable, cli, shows_bars, write_json, write_text

if TYPE_CHECKING:
    import dsets
    from experiments.auditing.context import Audited


def main(argv: Sequence[str] | None = None) -> None:
    """Check, load both models, attack, write the figures and the page, print the table."""
    flags = parser().parse_args(argv)
    from experiments.auditing.attack_registry import choose  # these and transformers behind them: not for --help
    from experiments.auditing.attacking import prepare, run
    from experiments.auditing.page import page
    from experiments.requests import edited_model
    from util import modeling

    folder = Path(flags.output)
    attacks = choose(flags.attacks, flags.quick)
    check_writable(folder, "--output")
    modeling.find_source(flags.before, flags.model_path_dir)
    if flags.oracle:
        modeling.find_source(flags.oracle, flags.model_path_dir)
    of_a_run = edited_model.check(flags.after, flags.model_path_dir)
    read = read_facts(flags, of_a_run)
    before, tokenizer = modeling.load(flags.before, flags.model_path_dir, flags.device, flags.dtype)
    where = (flags.model_path_dir, flags.device, flags.dtype)
    after = edited_model.load(flags.after, before, *where, data_dir=flags.data_dir, quiet=flags.quiet)
    records, digest = (read.records, read.digest) if read else (after.facts[: flags.limit], after.digest)
    audited = prepare(
        before,
        after.model,
        tokenizer,
        records,
        context=() if read else after.context,
        oracle=modeling.load(flags.oracle, *where)[0] if flags.oracle else None,
        seed=flags.seed,
        batch_tokens=flags.batch_tokens or modeling.default_reading_tokens(before),
        progress=shows_bars(flags.quiet),
    )
    made_from = provenance(flags, audited, digest)
    told = not flags.quiet and not audited.progress
    limits = {"budget": flags.budget, "told": told}
    result = run(audited, attacks, folder / "parts", made_from["key"], **limits) | {"made_from": made_from}
    write_json(folder / "audit.json", result)
    write_text(folder / "audit.html", page(result))
    if not flags.quiet:
        print(table(result))
    print(f"{result['verdict']}: {folder / 'audit.json'}, {folder / 'audit.html'}")


def read_facts(flags: argparse.Namespace, of_a_run: bool) -> "dsets.Dataset | None":
    """The data set of --facts; None where the run knows them."""
    import dsets

    if flags.limit is not None and flags.limit < 1:
        raise UserError(f"--limit {flags.limit}: give at least 1, or leave it out for all facts")
    if flags.facts is None:
        if not of_a_run:
            raise UserError("audit.py: --facts is missing; only the folder of a run says itself what was forgotten")
        return None
    return dsets.load(flags.facts, flags.data_dir, world=flags.before == WORLD, size_limit=flags.limit)


def parser() -> Parser:
    """Flags of audit.py."""
    made = Parser(prog="audit.py", description=__doc__)
    made.add_argument("--before", required=True, metavar="MODEL", help="the model that knew, as --model_name takes it")
    made.add_argument(
        "--after", required=True, metavar="MODEL", help="the one that is to have forgotten: a model, a patch, or a run"
    )
    made.add_argument(
        "--facts", metavar="FILE", help="what was forgotten: a data set file (default: what the run was to forget)"
    )
    made.add_argument(
        "--oracle", metavar="MODEL", help="one that never met the facts (pretrain_world.py --without), to compare with"
    )
    made.add_argument("--output", required=True, metavar="DIR", help="folder of audit.json and audit.html")
    made.add_argument("--quick", action="store_true", help="the cheap attacks only, where --attacks names none")
    made.add_argument("--attacks", nargs="+", metavar="NAME", help="these attacks only (the report lists their names)")
    made.add_argument(
        "--budget",
        type=positive_seconds,
        default=math.inf,
        metavar="SECONDS",
        help="skip an attack that takes longer, with what it would need (default: none is)",
    )
    made.add_argument("--limit", type=int, metavar="N", help="read only the first so many facts (default: all)")
    made.add_argument(
        "--seed", type=seed_number, default=0, help="of invented subjects, samples and intervals (default: 0)"
    )
    made.add_argument("--model_path_dir", help="folder that holds the models' folders")
    made.add_argument("--data_dir", help="data sets (default: data/)")
    made.add_argument("--device", default="auto", help="auto (CUDA when present), cpu, cuda, … (default: auto)")
    made.add_argument("--dtype", default="float32", choices=DTYPES, help="of the weights (default: float32)")
    made.add_argument("--batch_tokens", type=tokens_or_auto, help="padded tokens of one batch (default: auto)")
    made.add_argument("--quiet", action="store_true", help="no progress bars, no table")
    return made


def provenance(flags: argparse.Namespace, audited: "Audited", digest: str | None) -> dict[str, object]:
    """What the result comes from; `key` is what it hangs on. digest: of the facts."""
    from util.tokens import tokenizer_hash
    from util.weights import model_hash

    key = {
        "before": model_hash(audited.before),
        "after": model_hash(audited.after),
        "tokenizer": tokenizer_hash(audited.tokenizer),
        "chat_template": audited.tokenizer.chat_template,
        "facts": digest,
        "limit": flags.limit,
        "seed": flags.seed,
    }
    if audited.oracle is not None:
        key["oracle"] = model_hash(audited.oracle)
    names = {"oracle": flags.oracle, "before": flags.before, "after": flags.after, "facts": flags.facts or flags.after}
    given = len(audited.file)
    where = {"dtype": flags.dtype, "device": str(audited.before.device)}
    budget = flags.budget if math.isfinite(flags.budget) else None
    return {"key": key, **names, "given": given, **where, "budget": budget}


if __name__ == "__main__":
    cli(main)
