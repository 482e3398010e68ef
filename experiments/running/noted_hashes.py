"""What names a model's statistics files, noted by whoever measures a share, so that a merge need not load the model."""

import hashlib
import json
from pathlib import Path

import torch

from dsets.corpus import Corpus
from experiments.running.settings import ModelSettings
from util import paths
from util.editing.moment_cache import MomentCache
from util.editing.shards import Shares
from util.hparams import MomentHParams
from util.runs import write_json

READ_FROM = (".safetensors", ".json", ".gguf")


def note_hashes(settings: ModelSettings, cache: MomentCache) -> None:
    """Note the hashes of the model that the settings name, if it lies on this machine."""
    note = _note(settings)
    if note:
        names = {"model": cache.model, "tokenizer": cache.tokenizer, "longest_document": cache.longest_document}
        write_json(note, names)


def noted_shares(settings: ModelSettings, hparams: MomentHParams, corpus: Corpus) -> Shares | None:
    """The moments over a corpus that a merge is to make; None where the model's hashes are not noted."""
    note = _note(settings)
    if note is None or not note.is_file():
        return None
    names = json.loads(note.read_text(encoding="utf-8"))
    cache = MomentCache(
        paths.stats_dir(),
        names["model"],
        names["tokenizer"],
        corpus.digest,
        getattr(torch, hparams.mom2_dtype),
        names["longest_document"],
    )
    return Shares(hparams.rewrite_modules(), corpus, cache)


def drop_note(settings: ModelSettings) -> None:
    """Remove the note, once the shares are merged."""
    note = _note(settings)
    if note:
        note.unlink(missing_ok=True)


def _note(settings: ModelSettings) -> Path | None:
    """Where the note of a model lies: named by its folder or file, the sizes and times of what is read, and the dtype
    that it is loaded as."""
    place = paths.model_dir(settings.model_name, settings.model_path_dir)
    if place is None:
        return None
    files = [place] if place.is_file() else sorted(path for path in place.iterdir() if path.suffix in READ_FROM)
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    key = json.dumps([str(place.resolve()), settings.dtype, states])
    return paths.stats_dir() / f"hashes-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
