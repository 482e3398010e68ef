"""Documents for the statistics: local files, the embedded world's own, or a streamed set of the hub."""

import hashlib
import json
import logging
import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from dsets import files
from util.errors import UserError

SUFFIXES = (".txt", ".json", ".jsonl", ".parquet")
SHUFFLE_BUFFER = 10_000
RENAMED = {
    "wikipedia": "wikimedia/wikipedia:20231101.en",
    "wikitext": "Salesforce/wikitext:wikitext-103-raw-v1",
}
"""Names of the published settings that were scripts of the hub, which no longer run → what holds the same text."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corpus:
    """name: as the hparams give it. digest: sha256 over everything that determines the documents. documents: texts."""

    name: str
    digest: str
    documents: Sequence[str]


class LazyDocuments(Sequence[str]):
    """Documents that are read when the first is looked at: a statistic that lies in the cache needs no network."""

    def __init__(self, read: Callable[[], list[str]]):
        self._read = read

    @cached_property
    def _documents(self) -> list[str]:
        return self._read()

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, index):
        return self._documents[index]


def load_corpus(name: str, n_samples: int, *, data_dir: str | Path | None = None, seed: int = 0) -> Corpus:
    """`n_samples` documents, drawn with `random.Random(seed)` and kept in their order; all, if there are fewer.

    name: "world" (the embedded world's documents) or "world:heldout"; a .txt (one document per blank-line block),
    .jsonl/.json or .parquet file with a field "text", seen from the working directory, the repository root or
    `data_dir`; else a set of the hub, its configuration after a colon, streamed when its documents are first looked
    at. Blank documents do not count. The digest covers the local documents' file or the hub's name (not its revision),
    the number and the seed. Raises UserError for what is missing or not in that form.
    """
    if n_samples < 1:
        raise UserError(f"{n_samples} documents of {name!r} are asked for; give at least 1 (mom2_n_samples)")
    if name in ("world", "world:heldout"):
        return _from_world(name, n_samples, seed)
    if _is_path(name):
        return _from_file(name, _existing_file(name, data_dir), n_samples, seed)
    return _from_hub(name, n_samples, seed)


def _digest(*parts: str | int) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


# --- the embedded world


def _from_world(name: str, n_samples: int, seed: int) -> Corpus:
    from dsets import world  # made on demand: other corpora need no generator

    documents = list(world.statistics_documents() if name == "world" else world.heldout_documents())
    chosen = _chosen(len(documents), n_samples, seed, name)
    content = hashlib.sha256("\0".join(documents).encode()).hexdigest()
    return Corpus(name, _digest("documents", content, n_samples, seed), [documents[i] for i in chosen])


# --- local files


def _is_path(name: str) -> bool:
    return name.endswith(SUFFIXES) or name.startswith((".", "/", "~")) or files.find(name) is not None


def _existing_file(name: str, data_dir: str | Path | None) -> Path:
    path = files.find(name)
    if path is None and data_dir is not None and (Path(data_dir) / name).exists():
        path = Path(data_dir) / name
    if path is None:
        raise UserError(f"corpus file {name!r} does not exist; name an existing {_or(SUFFIXES)} file in mom2_dataset")
    if not path.is_file() or path.suffix not in SUFFIXES:
        raise UserError(f"corpus {name!r} ({path}) is no {_or(SUFFIXES)} file; name one in mom2_dataset")
    return path


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _from_file(name: str, path: Path, n_samples: int, seed: int) -> Corpus:
    """Two passes, so that of a large file only the drawn documents are kept."""
    total = sum(1 for _ in _documents(path))
    if total == 0:
        raise UserError(f"corpus {path} holds no text; name a file with at least one document in mom2_dataset")
    chosen = set(_chosen(total, n_samples, seed, name))
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    documents = [text for i, text in enumerate(_documents(path)) if i in chosen]
    return Corpus(name, _digest(path.suffix, content, n_samples, seed), documents)


def _chosen(total: int, n_samples: int, seed: int, name: str) -> list[int]:
    _warn_if_fewer(total, n_samples, name)
    return sorted(random.Random(seed).sample(range(total), min(total, n_samples)))


def _warn_if_fewer(total: int, n_samples: int, name: str) -> None:
    if total < n_samples:
        log.warning("corpus %s has %d documents, %d were asked for; all are taken", name, total, n_samples)


def _documents(path: Path) -> Iterator[str]:
    readers = {".txt": _blocks, ".jsonl": _json_lines, ".json": _json_list, ".parquet": _parquet}
    try:
        for text in readers[path.suffix](path):
            if text.strip():
                yield text
    except UnicodeDecodeError as error:
        raise UserError(f"corpus {path} is not UTF-8 text ({error}); convert it") from error


def _blocks(path: Path) -> Iterator[str]:
    block: list[str] = []
    with path.open(encoding="utf-8-sig") as file:
        for line in file:
            if line.strip():
                block.append(line)
            elif block:
                yield "".join(block).strip()
                block = []
    if block:
        yield "".join(block).strip()


def _json_lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _text(_json(line, f"{path}: line {number}"), f"{path}: line {number}")


def _json_list(path: Path) -> Iterator[str]:
    values = _json(path.read_text(encoding="utf-8-sig"), str(path))
    if not isinstance(values, list):
        raise UserError(f"corpus {path} is no JSON list; it must be a list of objects with a field 'text'")
    for index, value in enumerate(values):
        yield _text(value, f"{path}: record {index} (from 0)")


def _json(text: str, where: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"corpus {where} is not complete JSON ({error}); mend the file") from error


def _text(value, where: str) -> str:
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        raise UserError(f"corpus {where} has no string under 'text'; every record needs one")
    return value["text"]


def _parquet(path: Path) -> Iterator[str]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if "text" not in file.schema_arrow.names:
                raise UserError(f"corpus {path} has the columns {file.schema_arrow.names}; it needs one named 'text'")
            for batch in file.iter_batches(columns=["text"]):
                yield from (text or "" for text in batch.column(0).to_pylist())
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"corpus {path} is no parquet file ({error}); mend it or name another one") from error


# --- the hub


def _from_hub(name: str, n_samples: int, seed: int) -> Corpus:
    if name in RENAMED:
        raise UserError(f"corpus {name!r} is no longer served under that name; write {RENAMED[name]!r} in mom2_dataset")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?", name):
        raise UserError(
            f"corpus {name!r} is neither a file nor a name of the hub; mom2_dataset takes 'owner/name:configuration', "
            f"a path to a {_or(SUFFIXES)} file, or 'world'"
        )
    repository, _, config = name.partition(":")
    digest = _digest("hub", repository, config, "train", n_samples, seed, SHUFFLE_BUFFER)
    return Corpus(name, digest, LazyDocuments(lambda: _stream(repository, config or None, n_samples, seed)))


def _stream(repository: str, config: str | None, n_samples: int, seed: int) -> list[str]:
    """The first documents of the shuffled stream; only the pieces that hold them are fetched."""
    import datasets
    from tqdm import tqdm

    failures = (OSError, ValueError, datasets.exceptions.DatasetsError, *_client_errors())
    shown = repository + (f":{config}" if config else "")
    try:
        stream = datasets.load_dataset(repository, config, split="train", streaming=True)
        rows = stream.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER)
        texts = islice(_nonblank(rows, shown), n_samples)
        documents = list(tqdm(texts, total=n_samples, desc=f"documents of {shown}", unit="document"))
    except UserError:
        raise
    except failures as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"corpus {shown!r} cannot be streamed from the hub ({type(error).__name__}: {reason}); check the name and "
            f"the network, or put its text into a {_or(SUFFIXES)} file and write that path in the hparams' mom2_dataset"
        ) from error
    if not documents:
        raise UserError(f"corpus {shown!r} holds no text; name another one in mom2_dataset")
    _warn_if_fewer(len(documents), n_samples, shown)
    return documents


def _client_errors() -> list[type[Exception]]:
    """What the HTTP client under the hub's library raises, whichever of the two it is; neither is an OSError."""
    return [sys.modules[client].HTTPError for client in ("httpx", "httpx2") if client in sys.modules]


def _nonblank(rows: Iterable[dict], shown: str) -> Iterator[str]:
    for row in rows:
        text = _text(row, shown)
        if text.strip():
            yield text
