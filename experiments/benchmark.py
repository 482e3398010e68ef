"""How much faster the machinery is than the plain form, as ratios measured in one run on one machine.

    python experiments/benchmark.py                        # the embedded model, 50 facts
    python experiments/benchmark.py --work targets moments --facts 20

The plain forms: targets fact by fact with full forward passes and logits everywhere; statistics in two passes per
layer, a document at a time; the direct d_out × d_out solve. Both sides of a ratio run the same facts, hparams and
threads, and the difference of their results is printed beside their times.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

import dsets
from dsets.corpus import load_corpus
from experiments.benchmarking.comparisons import Bench, bench_growth, bench_moments, bench_solve, bench_targets
from experiments.running.arguments import add_model_flags
from experiments.running.session import hparams_path
from util import modeling
from util.editing.contexts import generate
from util.editing.layers import check_layers
from util.errors import UserError
from util.runs import Parser, cli, write_json
from zerounlearn import HParams

WORK = {"targets": bench_targets, "growth": bench_growth, "moments": bench_moments, "solve": bench_solve}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the chosen work and print one line each."""
    flags = parser().parse_args(argv)
    for name in ("facts", "documents"):
        if getattr(flags, name) < 1:
            raise UserError(f"--{name} {getattr(flags, name)}: give at least 1")
    modeling.resolve_device(flags.device)
    modeling.find_source(flags.model_name, flags.model_path_dir)
    hparams = HParams.from_json(hparams_path(flags, "ZeroUnlearn"))
    records = dsets.load(flags.ds_name, flags.data_dir, world=flags.model_name == modeling.WORLD).records
    model, tokenizer = modeling.load(flags.model_name, flags.model_path_dir, flags.device, flags.dtype)
    check_layers(model, hparams)
    bench = Bench(
        model,
        tokenizer,
        hparams,
        templates=generate(model, tokenizer),
        requests=[record.request() for record in records],
        facts=flags.facts,
        corpus=load_corpus(hparams.mom2_dataset, flags.documents, data_dir=flags.data_dir),
        batch_tokens=flags.batch_tokens,
    )
    print(f"{flags.model_name} on {model.device}, {flags.dtype}, {torch.get_num_threads()} threads", flush=True)
    rows = {name: WORK[name](bench) for name in flags.work}
    if flags.json:
        write_json(Path(flags.json), rows)


def parser() -> Parser:
    """Flags of benchmark.py."""
    made = Parser(prog="benchmark.py", description=__doc__)
    made.add_argument(
        "--work", nargs="+", choices=list(WORK), default=list(WORK), help="what to measure (default: all)"
    )
    made.add_argument("--facts", type=int, default=50, help="facts of the target search and the solve (default: 50)")
    made.add_argument("--documents", type=int, default=300, help="documents of the moments (default: 300)")
    add_model_flags(made)
    made.add_argument("--hparams_fname", help="file in hparams/ZeroUnlearn/, or a path (default: <model_name>.json)")
    made.add_argument("--ds_name", default="mcf", help="where the facts come from (default: mcf)")
    made.add_argument("--data_dir", help="data sets and corpora (default: data/)")
    made.add_argument("--json", metavar="FILE", help="also write the measurements to this file")
    return made


if __name__ == "__main__":
    cli(main)
