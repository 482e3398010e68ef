"""Documents for the statistics: local files, the embedded world's own, or a draw from a set of the hub."""

import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsets import hub, named_files
from dsets.excerpt import NAME as EXCERPT
from dsets.excerpt import excerpt
from dsets.texts import text_of, warn_if_fewer
from util import paths
from util.errors import NotJson, UserError, parsed

SUFFIXES = (".txt", ".json", ".jsonl", ".parquet")
RENAMED = {
    "wikipedia": "wikimedia/wikipedia:20231101.en",
    "wikitext": "Salesforce/wikitext:wikitext-103-raw-v1",
}
"""Names of the published settings that were scripts of the hub, which no longer run → what holds the same text."""


@dataclass(frozen=True)
class Corpus:
    """name: as the hparams give it. digest: sha256 over everything that determines the documents. documents: texts.
    instead_of: the name of the corpus that was asked for, where this one stands for it."""

    name: str
    digest: str
    documents: Sequence[str]
    instead_of: str | None = None


def load_corpus(name: str, n_samples: int, *, data_dir: str | Path | None = None, seed: int = 0) -> Corpus:
    """`n_samples` documents, drawn with `random.Random(seed)` and kept in their order; all, if there are fewer.

    name: "world" (the embedded world's documents) or "world:heldout"; "wikipedia-excerpt", passages that a package of
    the registry carries (dsets.excerpt); a .txt (one document per blank-line block),
    .jsonl/.json or .parquet file with a field "text", seen from the working directory, the repository root or
    `data_dir`; else a set of the hub, its configuration after a colon, whose documents are fetched into a file in
    `data_dir` when they are first looked at (dsets.hub). Blank documents do not count. The digest covers the local
    documents' file or the hub's name (not its revision), the number and the seed. Raises UserError for what is missing
    or not in that form.
    """
    if n_samples < 1:
        raise UserError(f"{n_samples} documents of {name!r} are asked for; give at least 1 (mom2_n_samples)")
    if name in ("world", "world:heldout"):
        return _from_world(name, n_samples, seed)
    if name == EXCERPT:
        return _from_file(name, excerpt(paths.data_dir(data_dir)), n_samples, seed)
    if _is_path(name):
        return _from_file(name, _existing_file(name, data_dir), n_samples, seed)
    return _from_hub(name, n_samples, data_dir, seed)


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
    return name.endswith(SUFFIXES) or name.startswith((".", "/", "~")) or named_files.find(name) is not None


def _existing_file(name: str, data_dir: str | Path | None) -> Path:
    beside = paths.data_dir(data_dir) / name
    path = named_files.find(name) or (beside if beside.exists() else None)
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
    warn_if_fewer(total, n_samples, name)
    return sorted(random.Random(seed).sample(range(total), min(total, n_samples)))


def _documents(path: Path) -> Iterator[str]:
    readers = {".txt": _blocks, ".jsonl": _json_lines, ".json": _json_list, ".parquet": _parquet}
    try:
        for text in readers[path.suffix](path):
            if text.strip():
                yield text
    except UnicodeDecodeError as error:
        raise UserError(f"corpus {path} is not UTF-8 text ({error}); convert it") from error
    except OSError as error:  # of a damaged parquet file, too
        raise UserError(f"corpus {path} cannot be read ({error}); mend it or name another one") from error


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
                yield text_of(_json(line, f"{path}: line {number}"), f"{path}: line {number}")


def _json_list(path: Path) -> Iterator[str]:
    values = _json(path.read_text(encoding="utf-8-sig"), str(path))
    if not isinstance(values, list):
        raise UserError(f"corpus {path} is no JSON list; it must be a list of objects with a field 'text'")
    for index, value in enumerate(values):
        yield text_of(value, f"{path}: record {index} (from 0)")


def _json(text: str, where: str):
    try:
        return parsed(text)
    except NotJson as error:
        raise UserError(f"corpus {where} is not complete JSON ({error}); mend the file") from error


def _parquet(path: Path) -> Iterator[str]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if "text" not in file.schema_arrow.names:
                raise UserError(f"corpus {path} has the columns {file.schema_arrow.names}; it needs one named 'text'")
            for batch in file.iter_batches(columns=["text"]):
                texts = batch.column(0).to_pylist()
                yield from ("" if text is None else text_of({"text": text}, str(path)) for text in texts)
    except pyarrow.ArrowException as error:
        raise UserError(f"corpus {path} is no parquet file ({error}); mend it or name another one") from error


# --- the hub


def _from_hub(name: str, n_samples: int, data_dir: str | Path | None, seed: int) -> Corpus:
    if name in RENAMED:
        raise UserError(f"corpus {name!r} is no longer served under that name; write {RENAMED[name]!r} in mom2_dataset")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?(:[\w.-]+)?", name):
        raise UserError(
            f"corpus {name!r} is neither a file nor a name of the hub; mom2_dataset takes 'owner/name:configuration', "
            f"a path to a {_or(SUFFIXES)} file, or 'world'"
        )
    repository, _, config = name.partition(":")
    digest = _digest("hub", repository, config, hub.SPLIT, n_samples, seed, hub.SHUFFLE_BUFFER)
    draw = hub.Sample(repository, config or None, n_samples, seed, digest)
    return Corpus(name, digest, hub.HubDocuments(draw, paths.data_dir(data_dir) / "corpora"))
