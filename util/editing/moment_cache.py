"""Second moments on disk: one safetensors file a module, named by a hash of everything that determines it.

The header of a file says what it holds. Files are written under a temporary name and moved. A measurement that was
interrupted leaves ``.partial`` files (the plain sums so far), from which the next one goes on. Their names say how many
documents they hold, and those of an earlier state go when all modules' are written: a kill in between loses nothing. A
share of a corpus that is to be merged with others stays in that form, because sums add up exactly and means do not.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from util.files import locked
from util.moments import SecondMoment
from util.runs import check_writable
from util.tensor_files import read_tensors, write_tensors

CODE_VERSION = 1
"""Raise when the same inputs would give another moment: old files are then measured anew."""


@dataclass(frozen=True)
class MomentCache:
    """Where the moments of one model and corpus are kept.

    folder: None keeps nothing. model: its `model_hash`; tokenizer: hash of the tokenizer; corpus: the
    corpus's digest; dtype: of the moments; longest_document: tokens after which a document was cut. tolerance: at which
    the measurement may stop early, None for the whole corpus; it is part of the name, so that the two are never
    confused.
    """

    folder: Path | None
    model: str
    tokenizer: str
    corpus: str
    dtype: torch.dtype
    longest_document: int
    tolerance: float | None = None

    def read(self, name: str, device: torch.device | str) -> torch.Tensor | None:
        """The moment (I, I) of a module; None when it is not measured yet, or (with a warning) its file is damaged."""
        loaded = self._load(name, "safetensors", device)
        return loaded[0] if loaded else None

    def header(self, name: str) -> dict | None:
        """What the file of a finished moment says about it: ``count`` of tokens, ``key``, and more."""
        found = self._read(name, "safetensors", None)
        return found[1] if found else None

    def write(self, name: str, moment_II: torch.Tensor, count: int, **facts: float | str) -> None:
        """Keep a finished moment over `count` tokens (`facts`: more for its header), and drop its partial file."""
        self._save(name, "safetensors", moment_II, {"count": count, **facts})
        self.drop_partial(name)

    def drop_partial(self, name: str) -> None:
        """Remove the sums of an unfinished measurement, if there are any."""
        for path in self.partials(name).values():
            path.unlink(missing_ok=True)

    def write_partial(self, moments: dict[str, SecondMoment], documents: int, complete: bool = False) -> None:
        """Keep the sums after so many documents, in place of earlier ones. complete: there are no more."""
        for name, moment in moments.items():
            facts = {"count": moment.count, "documents": documents, "complete": complete}
            self._save(name, _partial(documents), moment.sum_II, facts)
        for name in moments:
            for number, path in self.partials(name).items():
                if number != documents:
                    path.unlink(missing_ok=True)

    def read_partial(
        self, names: Iterable[str], device: torch.device | str
    ) -> tuple[dict[str, SecondMoment], int, bool] | None:
        """Sums as last kept for all modules, the documents they hold, and whether that is all; None without such."""
        names = list(names)
        common: set[int] = set.intersection(*(set(self.partials(name)) for name in names)) if names else set()
        for documents in sorted(common, reverse=True):
            read = ((name, self._load(name, _partial(documents), device)) for name in names)
            loaded = {name: found for name, found in read if found}
            if len(loaded) == len(names):
                complete = all(header["complete"] for _, header in loaded.values())
                return {name: _moment(*found) for name, found in loaded.items()}, documents, complete
        return None

    def partials(self, name: str) -> dict[int, Path]:
        """The files of a module's unfinished sums, by the documents they hold."""
        if self.folder is None:
            return {}
        found = self.folder.glob(self.path(name, "*.partial").name)
        return {int(path.name.split(".")[-2]): path for path in found}

    def _key(self, name: str) -> dict[str, object]:
        """What decides a moment, less the versions of torch and transformers: they move a mean over a corpus by float
        noise, and a large model's takes hours to measure."""
        return {
            "code_version": CODE_VERSION,
            "model": self.model,
            "tokenizer": self.tokenizer,
            "module": name,
            "corpus": self.corpus,
            "dtype": str(self.dtype),
            "longest_document": self.longest_document,
        } | ({} if self.tolerance is None else {"tolerance": self.tolerance, "settled_by": "update"})

    def path(self, name: str, ending: str = "safetensors") -> Path:
        """The file of a module's moment, where there is a folder."""
        assert self.folder is not None
        key = hashlib.sha256(json.dumps(self._key(name), sort_keys=True).encode()).hexdigest()[:16]
        return self.folder / f"{re.sub(r'[^A-Za-z0-9.]+', '_', name)}-{key}.{ending}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The block alone measures moments of this model and corpus; other processes that would wait for its end.

        Raises UserError where they cannot be kept.
        """
        if self.folder is None:
            yield
            return
        check_writable(self.folder, "ZEROUNLEARN_STATS")
        with locked(self.path("second moments").with_suffix("")):
            yield

    def _load(self, name: str, ending: str, device: torch.device | str) -> tuple[torch.Tensor, dict] | None:
        """The tensor and the header."""
        found = self._read(name, ending, device)
        return (found[0]["moment"], found[1]) if found else None

    def _read(
        self, name: str, ending: str, device: torch.device | str | None
    ) -> tuple[dict[str, torch.Tensor], dict] | None:
        return None if self.folder is None else read_tensors(self.path(name, ending), self._key(name), device)

    def _save(self, name: str, ending: str, tensor: torch.Tensor, facts: Mapping[str, float | str]) -> None:
        if self.folder is not None:
            write_tensors(self.path(name, ending), {"moment": tensor}, {"key": self._key(name), **facts})


def _partial(documents: int) -> str:
    return f"{documents}.partial"


def _moment(total: torch.Tensor, header: dict) -> SecondMoment:
    moment = SecondMoment(0)
    moment.sum_II, moment.count = total, header["count"]
    return moment
