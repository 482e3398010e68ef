"""Statistics collected beforehand: of which modules, the measurement, and what is said about the files."""

from collections.abc import Sequence
from pathlib import Path

from baselines.registry import METHODS, method
from dsets.corpus import Corpus
from experiments.measuring.sampled_corpus import sampled
from experiments.running.reading import hparams_path
from experiments.running.script_settings import CollectSettings
from util import modeling, paths
from util.editing.layers import check_layers
from util.editing.published_moments import by_module, import_moments
from util.editing.shards import Shard, Shares
from util.editing.statistics import CorpusMoments
from util.errors import UserError
from util.hparams import MomentHParams


def moment_hparams(settings: CollectSettings) -> MomentHParams:
    """The method's hparams, with ``--layers`` in place of theirs. UserError for a method that reads no statistics."""
    package = method(settings.alg_name)
    if not package.HParams.needs_moments:
        readers = [name for name in METHODS if method(name).HParams.needs_moments]
        raise UserError(f"--alg_name {settings.alg_name} reads no statistics; use one of {', '.join(readers)}")
    path = hparams_path(settings.alg_name, settings.model_name, settings.hparams_fname)
    hparams: MomentHParams = package.HParams.from_json(path)
    if not settings.layers:
        return hparams
    if min(settings.layers) < 0:
        raise UserError(f"--layers {min(settings.layers)}: layers are counted from 0")
    return hparams.model_copy(update={"layers": sorted(set(settings.layers))})


def unmeasured(settings: CollectSettings, hparams: MomentHParams, corpus: Corpus) -> CorpusMoments:
    """The moments of the whole corpus, or of the share that is asked for; loads the model."""
    model, tokenizer = modeling.load(settings.model_name, settings.model_path_dir, settings.device, settings.dtype)
    check_layers(model, hparams)
    corpus = sampled(corpus, model, tokenizer, progress=settings.progress)
    shard, shards = settings.shard, settings.shards
    share = corpus if shard is None or shards is None else Shard(corpus, shard, shards)
    return CorpusMoments(
        model,
        tokenizer,
        hparams.rewrite_modules(),
        share,
        dtype=hparams.mom2_dtype,
        cache_dir=paths.stats_dir(),
        batch_tokens=settings.batch_tokens,
        progress=settings.progress,
        tolerance=settings.tolerance,
    )


def take_published(files: Sequence[str], moments: CorpusMoments) -> None:
    """Put the field's .npz files, which name their modules, in the place of the moments."""
    import_moments(moments, by_module([Path(file) for file in files], moments.names))


def report(moments: CorpusMoments | Shares, remark: str) -> None:
    """Print a line per file: what it holds, and what an early stop achieved."""
    for name in moments.names:
        partial = moments.cache.partials(name)
        path = partial[max(partial)] if partial else moments.cache.path(name)
        line = f"{path}: {name}, {remark}"
        header = moments.cache.header(name) or {}
        if "count" in header:
            line += f"; {header['count']} tokens"
            line += f" of {header['documents']} documents" if "documents" in header else ""
        if "imported" in header:
            line += f"; imported from {header['imported']}, {header['scale']:.2g} times what is measured here"
        if "change" in header:
            line += f"; the last doubling of the documents moved the update by {header['change']:.2g}"
            tolerance = header["key"]["tolerance"]
            line += f"; the corpus ended before {tolerance:g} was reached" if header["change"] > tolerance else ""
        print(line)
