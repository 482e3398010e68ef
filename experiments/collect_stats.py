"""Measure the second moments of a method's edited modules beforehand, alone or by several processes.

    python experiments/collect_stats.py --model_name Llama-3.1-8B-Instruct --model_path_dir models
    for i in 0 1 2 3; do python experiments/collect_stats.py --shards 4 --shard $i --device cuda:$i ... & done; wait
    python experiments/collect_stats.py --shards 4 --merge ...

evaluate.py finds the files: they are named by the weights (and so the dtype), the module, the corpus and the settings,
and lie in data/stats or where ZEROUNLEARN_STATS says. Interrupted, the same command goes on where it stopped.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from baselines.registry import METHODS, method
from dsets.corpus import Corpus
from experiments.running.arguments import add_model_flags, share
from experiments.running.merging import forget, recall, remember
from experiments.running.session import hparams_path, read_corpus
from util import modeling, paths
from util.editing.layers import check_layers
from util.editing.shards import Shard, Shares, merge
from util.editing.statistics import CorpusMoments
from util.errors import UserError
from util.hparams import MomentHParams
from util.runs import Parser, cli


def main(argv: Sequence[str] | None = None) -> None:
    """Measure (a share), or merge the shares; say where the files lie."""
    flags = parser().parse_args(argv)
    _check(flags)
    hparams = read_hparams(flags)
    modeling.resolve_device(flags.device)
    modeling.find_source(flags.model_name, flags.model_path_dir)
    corpus = read_corpus(flags, hparams)
    known = recall(flags, hparams, corpus) if flags.merge else None
    moments = known or _unmeasured(flags, hparams, corpus)
    if flags.shard is not None:
        moments.sums()
        remember(flags, moments.cache)
        _report(moments, f"share {flags.shard} of {flags.shards}, for --merge to join")
        return
    if flags.merge:
        merge(moments, flags.shards)
        forget(flags)
    else:
        dict(moments)
    given = f" with --mom2_tolerance {flags.tolerance}" if flags.tolerance else ""
    _report(moments, f"evaluate.py{given} finds it there")


def _unmeasured(flags: argparse.Namespace, hparams: MomentHParams, corpus: Corpus) -> CorpusMoments:
    """The moments of the whole corpus, or of the share that is asked for."""
    model, tokenizer = modeling.load(flags.model_name, flags.model_path_dir, flags.device, flags.dtype)
    check_layers(model, hparams)
    return CorpusMoments(
        model,
        tokenizer,
        hparams.rewrite_modules(),
        corpus if flags.shard is None else Shard(corpus, flags.shard, flags.shards),
        dtype=hparams.mom2_dtype,
        cache_dir=paths.stats_dir(),
        batch_tokens=flags.batch_tokens,
        progress=not flags.quiet,
        tolerance=flags.tolerance,
    )


def parser() -> Parser:
    """Flags of collect_stats.py."""
    made = Parser(prog="collect_stats.py", description=__doc__)
    add_model_flags(made)
    made.add_argument(
        "--alg_name",
        default="ZeroUnlearn",
        metavar="METHOD",
        help=f"whose hparams name modules and corpus: one of {', '.join(METHODS)} (default: ZeroUnlearn); "
        "methods with the same modules and corpus share the files",
    )
    made.add_argument("--hparams_fname", help="file in hparams/<alg_name>/, or a path (default: <model_name>.json)")
    made.add_argument("--layers", type=int, nargs="+", help="measure these layers (default: those of the hparams)")
    made.add_argument("--data_dir", help="where a corpus file is looked for, too (default: data/)")
    made.add_argument("--shards", type=int, help="divide the corpus into so many shares")
    made.add_argument("--shard", type=int, help="measure this share, 0 to shards - 1")
    made.add_argument("--merge", action="store_true", help="join the shares, all measured, into the finished files")
    made.add_argument(
        "--tolerance",
        type=share,
        help="stop once doubling the documents moves the update they would cause by at most this share (such as 0.05); "
        "kept apart from moments of the whole corpus: give evaluate.py the same --mom2_tolerance",
    )
    made.add_argument("--quiet", action="store_true", help="no progress bar")
    return made


def _check(flags: argparse.Namespace) -> None:
    divided = flags.shard is not None or flags.merge
    if divided != (flags.shards is not None) or (flags.shard is not None and flags.merge):
        raise UserError("--shards N goes with either --shard I (measure a share) or --merge (join them)")
    if divided and flags.shards < 1:
        raise UserError(f"--shards {flags.shards}: give at least 1")
    if flags.shard is not None and not 0 <= flags.shard < flags.shards:
        raise UserError(f"--shard {flags.shard}: with --shards {flags.shards} give 0 to {flags.shards - 1}")
    if flags.tolerance is not None and divided:
        raise UserError(
            "--tolerance looks at one growing sum and cannot be divided; leave out --shards, or --tolerance"
        )


def read_hparams(flags: argparse.Namespace) -> MomentHParams:
    """The method's hparams, with ``--layers`` in place of theirs. UserError for a method that reads no statistics."""
    package = method(flags.alg_name)
    if not package.HParams.needs_moments:
        readers = [name for name in METHODS if method(name).HParams.needs_moments]
        raise UserError(f"--alg_name {flags.alg_name} reads no statistics; use one of {', '.join(readers)}")
    hparams = package.HParams.from_json(hparams_path(flags, flags.alg_name))
    if not flags.layers:
        return hparams
    if min(flags.layers) < 0:
        raise UserError(f"--layers {min(flags.layers)}: layers are counted from 0")
    return hparams.model_copy(update={"layers": sorted(set(flags.layers))})


def _report(moments: CorpusMoments | Shares, remark: str) -> None:
    for name in moments.names:
        partial = moments.cache.partials(name)
        path = partial[max(partial)] if partial else moments.cache.path(name)
        line = f"{path}: {name}, {remark}"
        header = moments.cache.header(name) or {}
        if "count" in header:
            line += f"; {header['count']} tokens of {header['documents']} documents"
        if "change" in header:
            line += f"; the last doubling of the documents moved the update by {header['change']:.2g}"
            tolerance = header["key"]["tolerance"]
            line += f"; the corpus ended before {tolerance:g} was reached" if header["change"] > tolerance else ""
        print(line)


if __name__ == "__main__":
    cli(main)
