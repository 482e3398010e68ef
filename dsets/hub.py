"""Documents drawn from a set of the hub, kept in a JSON-lines file that every later run and every process reads."""

import json
import logging
import os
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from dsets.named_files import growing
from dsets.texts import text_of, warn_if_fewer
from util.errors import UserError

SPLIT = "train"
SHUFFLE_BUFFER = 10_000
TIMEOUT = 10.0
"""Seconds that a hub has to answer whether it has a set."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sample:
    """The first `count` documents of a set's stream, shuffled with `seed`. digest: of everything that determines it."""

    repository: str
    config: str | None
    count: int
    seed: int
    digest: str

    @property
    def shown(self) -> str:
        """As hparams name the set."""
        return self.repository + (f":{self.config}" if self.config else "")

    @property
    def file_name(self) -> str:
        """Says what is in the file; the digest tells apart what the other parts spell alike."""
        parts = (self.repository.replace("/", "--"), self.config or "default", SPLIT, self.count, f"seed{self.seed}")
        return "-".join(map(str, parts)) + f"-{self.digest[:8]}.jsonl"


class HubDocuments(Sequence[str]):
    """A draw's documents, read from their file one by one; memory holds only where each begins.

    The file is fetched when the first document is looked at, by one process while others wait, so that a statistic in
    the cache needs no network and shares of a corpus fetch it once. Documents are appended as they arrive to a
    ``.partial`` file, which is moved when complete. After an interruption the stream is read again, because a shuffled
    one has no other way back to its place; its order is that of the seed, so what was kept is compared with it and
    only what follows is written. Raises UserError for what cannot be fetched or written.
    """

    def __init__(self, draw: Sample, folder: Path):
        self.draw, self.path = draw, folder / draw.file_name

    @cached_property
    def _begins(self) -> Sequence[int]:
        """Where each document's line begins."""
        if not self.path.exists():
            self._fetch()
        begins, place = array("Q"), 0
        with self.path.open("rb") as file:
            for line in file:
                begins.append(place)
                place += len(line)
        warn_if_fewer(len(begins), self.draw.count, self.draw.shown)
        return begins

    def __len__(self) -> int:
        return len(self._begins)

    def __getitem__(self, index):
        chosen = self._begins[index]
        return list(self._read(chosen)) if isinstance(index, slice) else next(self._read([chosen]))

    def __iter__(self) -> Iterator[str]:
        return self._read(self._begins)

    def _read(self, begins: Iterable[int]) -> Iterator[str]:
        with self.path.open("rb") as file:
            for place in begins:
                file.seek(place)
                yield text_of(json.loads(file.readline()), str(self.path))

    def _fetch(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            part_path = self.path.with_name(f"{self.path.name}.partial")
            with growing(part_path) as part:
                if self.path.exists():  # another process has fetched it while this one waited
                    return
                _append(part, _stream(self.draw, part))
                part.flush()
                if part.tell() == 0:
                    raise UserError(f"corpus {self.draw.shown!r} holds no text; name another one in mom2_dataset")
                os.replace(part_path, self.path)
        except OSError as error:
            raise UserError(
                f"documents of {self.draw.shown!r} cannot be written to {self.path.parent} ({error.strerror}); "
                "name another --data_dir"
            ) from error
        log.info("documents of %s: %s", self.draw.shown, self.path)


def _append(part: BinaryIO, texts: Iterable[str]) -> None:
    """Bring the file to one line a text: what agrees stays, the rest is cut off, what follows is appended."""
    part.seek(0)
    agreed, comparing = 0, True
    for text in texts:
        line = json.dumps({"text": text}).encode() + b"\n"
        if comparing and part.readline() == line:
            agreed += len(line)
            continue
        if comparing:
            part.truncate(agreed)
            part.seek(agreed)
            comparing = False
        part.write(line)
    if comparing:
        part.truncate(agreed)
        part.seek(agreed)


def _stream(draw: Sample, part: BinaryIO) -> Iterator[str]:
    """The documents as they arrive, with a progress bar. `part`: where they are kept, for the message of a failure."""
    import datasets
    from tqdm import tqdm

    try:
        stream = datasets.load_dataset(draw.repository, draw.config, split=SPLIT, streaming=True)
        rows = stream.shuffle(seed=draw.seed, buffer_size=SHUFFLE_BUFFER)
        texts = islice(_nonblank(rows, draw.shown), draw.count)
        yield from tqdm(texts, total=draw.count, desc=f"documents of {draw.shown}", unit="document", disable=None)
    except UserError:
        raise
    except hub_failures() as error:
        reason = " ".join(str(error).split())[:300]
        kept = f"what has come is kept in {part.name}; " if part.seek(0, os.SEEK_END) else ""
        raise UserError(
            f"corpus {draw.shown!r} cannot be streamed from the hub ({type(error).__name__}: {reason}); {kept}check "
            "the name and the network, or put its text into a .jsonl or .txt file and write that path in the hparams' "
            "mom2_dataset"
        ) from error


def refusal(repository: str) -> str | None:
    """Why the hub does not give that set, in one line and asked once; None where it does."""
    from huggingface_hub import dataset_info

    try:
        dataset_info(repository, timeout=TIMEOUT)
    except hub_failures() as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    return None


def hub_failures() -> tuple[type[Exception], ...]:
    """What `datasets` raises where the hub, its answer or the network is at fault.

    RuntimeError: a set that is a script, or in a form that it does not stream. The HTTP client's own errors, whichever
    of the two is under the hub's library, are no OSErrors.
    """
    from datasets.exceptions import DatasetsError

    clients = [sys.modules[client].HTTPError for client in ("httpx", "httpx2") if client in sys.modules]
    return OSError, ValueError, RuntimeError, DatasetsError, *clients


def _nonblank(rows: Iterable[dict], shown: str) -> Iterator[str]:
    for row in rows:
        text = text_of(row, shown)
        if text.strip():
            yield text
