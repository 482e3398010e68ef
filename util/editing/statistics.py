"""Corpus → second moments E[k kᵀ] of every edited module's inputs, in one pass over the unedited model.

The cross moment E[v kᵀ] needs no pass of its own: it is W C.

Shape letters: I in (intermediate size).
"""

import math
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.batching import in_batches
from util.editing.early_stop import PROBES, EarlyStop
from util.editing.keys import ModuleSite, at_positions
from util.editing.moment_cache import MomentCache
from util.errors import UserError
from util.forward import run
from util.hooks import capture, frozen
from util.modeling import default_reading_tokens, max_length, module
from util.moments import SecondMoment, outer
from util.progress import progress_bar
from util.tokens import encode, pad, tokenizer_hash
from util.weights import model_hash, read_weight

LONGEST_DOCUMENT = 4096
DOCUMENTS_PER_BLOCK = 1000
"""Documents that are sorted by length together; a measurement can go on from the end of a block."""
SAVE_EVERY_SECONDS = 300
DERIVED_PER_MODULE = 4
DERIVED_SHARE = 1 / 8
"""Of a GPU's memory, for what was computed from moments and may be wanted again."""


class Corpus(Protocol):
    """Documents and what identifies them."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def digest(self) -> str:
        """Of everything that determines the documents."""

    @property
    def documents(self) -> Sequence[str]:
        """Texts, which may be read when they are looked at."""


class CorpusMoments(Mapping):
    """Mapping from module name to C (I, I), the second moment of that module's inputs over a corpus's tokens.

    Sum over tokens divided by their number: uncentred, BOS counted, padding never; documents are cut at the model's
    positions, at most 4096. All modules are measured together at the first look-up, and only on the model as it was
    when this object was made: an edited model is refused. Finished moments are kept under `cache_dir` (None: nowhere),
    and an interrupted measurement goes on from its last saved state, at most five minutes and a block back.

    tolerance: stop before the corpus ends once the moments have settled (see EarlyStop); such moments have files of
    their own, whose header says what was achieved. They are few documents, so an interrupted one starts anew.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        module_names: Sequence[str],
        corpus: Corpus,
        *,
        dtype: str = "float32",
        cache_dir: str | os.PathLike | None = None,
        batch_tokens: int | None = None,
        progress: bool = True,
        tolerance: float | None = None,
    ):
        self.names = list(module_names)
        self.model, self.tokenizer, self.corpus = model, tokenizer, corpus
        self.batch_tokens = batch_tokens or default_reading_tokens(model)
        self.progress = progress
        self.cache = MomentCache(
            Path(cache_dir) if cache_dir is not None else None,
            model_hash(model),
            tokenizer_hash(tokenizer),
            corpus.digest,
            {"float32": torch.float32, "float64": torch.float64}[dtype],
            max_length(model, LONGEST_DOCUMENT),
            tolerance,
        )
        self._moments: dict[str, torch.Tensor] = {}
        self._derived: dict[tuple, tuple[torch.Tensor, torch.device]] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self.names:
            raise KeyError(f"{name}: moments were asked for {', '.join(self.names)}")
        if name not in self._moments:
            self._fill()
        return self._moments[name]

    def derived(self, key: tuple, build: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Something computed from these moments and the model they belong to, built once per key and kept in memory.

        The key must hold everything `build` depends on beside model and corpus (module, weights, settings). Only the
        latest are kept, so that a long sequential run, whose weights change at every step, does not fill the memory;
        and of those on a GPU only what fits into an eighth of it stays there, older ones wait on the CPU.
        """
        value, home = self._derived.pop(key) if key in self._derived else _at_home(build())
        value = value.to(home)
        self._derived[key] = value, home
        while len(self._derived) > DERIVED_PER_MODULE * len(self.names):
            del self._derived[next(iter(self._derived))]
        self.offload(_room(home))
        return value

    def offload(self, limit: float = 0) -> None:
        """Move derived values to the CPU, oldest first, until the others take no more than so many bytes of GPUs."""
        room = limit
        for key, (value, home) in reversed(list(self._derived.items())):
            room -= value.nbytes
            if room < 0:
                self._derived[key] = value.cpu(), home

    def facts(self) -> dict[str, dict[str, float | str]]:
        """Module → what its moment was measured on, as kept on disk: ``count`` of tokens, ``documents``, with a
        tolerance the ``change`` that was achieved, and of an imported one the file (see published_moments)."""
        headers = {name: header for name in self.names if (header := self.cache.header(name))}
        return {name: {key: header[key] for key in header if key != "key"} for name, header in headers.items()}

    def _fill(self) -> None:
        if not self._missing():
            return
        with self.cache.alone():
            if missing := self._missing():  # another process may have measured them while this one waited
                self._keep(*self._measure(missing))

    def _missing(self) -> list[str]:
        """Modules whose moments are neither here nor, from where they are taken, in the cache."""
        for name in self.names:
            if name not in self._moments:
                moment = self.cache.read(name, read_weight(self.model, name).device)
                if moment is not None:
                    self._moments[name] = moment
        return [name for name in self.names if name not in self._moments]

    def _keep(self, sums: dict[str, SecondMoment], facts: Mapping[str, float]) -> None:
        """Take these sums for the corpus's, here and in the cache; `facts` go into the files' headers.

        Each sum goes as its moment comes: at d_in = 14336 one is 1.6 GB of a GPU.
        """
        for name in list(sums):
            moment = sums.pop(name)
            if moment.count == 0:
                raise UserError(f"corpus {self.corpus.name} has no tokens; name another mom2_dataset in the hparams")
            self._moments[name] = moment.value().to(self.cache.dtype)
            self.cache.write(name, self._moments[name], moment.count, **facts)

    def sums(self) -> dict[str, SecondMoment]:
        """Plain sums over the corpus instead of means, for a corpus that is a share of another (util.editing.shards).

        They are kept on disk as such, so a second call measures nothing.
        """
        with self.cache.alone():
            moments, facts = self._measure(self.names)
            self.cache.write_partial(moments, int(facts["documents"]), complete=True)
        return moments

    def _measure(self, names: list[str]) -> tuple[dict[str, SecondMoment], dict[str, float]]:
        """The sums, and the number of documents they hold (with a tolerance: what was achieved, too)."""
        if model_hash(self.model) != self.cache.model:
            raise ValueError(
                "the model has been edited since these moments were asked for; look them up before the edit"
            )
        if self.cache.tolerance is not None:
            early = EarlyStop(self._weights(names), self._probe_keys(names), self.cache.tolerance)
            moments, done = self._over_documents(self._fresh(names), 0, early.settled)
            return moments, {"documents": done} | ({} if early.change is None else {"change": early.change})
        kept = self.cache.read_partial(names, self.model.device)
        moments, done, complete = kept or (self._fresh(names), 0, False)
        if not complete:
            moments, done = self._over_documents(moments, done, self._saving())
        return moments, {"documents": done}

    def _probe_keys(self, names: list[str]) -> dict[str, torch.Tensor]:
        """Each module's keys (I, N) at one token, drawn with a fixed seed, of each of the corpus's first documents."""
        draw, located = random.Random(0), []
        for text in islice(iter(self.corpus.documents), PROBES):
            ids = encode(self.tokenizer, text)[: self.cache.longest_document]
            if len(ids) > 1:  # the first token's key is the same in every document where there is a BOS
                position = draw.randrange(1, len(ids))
                located.append((ids[: position + 1], position))
        if not located:
            raise UserError(f"corpus {self.corpus.name} has no text of two tokens; name another mom2_dataset")
        return {
            name: at_positions(self.model, located, ModuleSite(name, inputs=True), self.batch_tokens) for name in names
        }

    def _fresh(self, names: list[str]) -> dict[str, SecondMoment]:
        weights = self._weights(names)
        return {name: SecondMoment(weight.shape[1], weight.device) for name, weight in weights.items()}

    def _weights(self, names: list[str]) -> dict[str, torch.Tensor]:
        return {name: read_weight(self.model, name) for name in names}

    def _saving(self) -> Callable[[dict[str, SecondMoment], int], bool]:
        """Keeps the sums every few minutes; never stops."""
        saved = time.monotonic()

        def after_block(moments: dict[str, SecondMoment], done: int) -> bool:
            nonlocal saved
            if time.monotonic() - saved > SAVE_EVERY_SECONDS:
                self.cache.write_partial(moments, done)
                saved = time.monotonic()
            return False

        return after_block

    def _over_documents(
        self, moments: dict[str, SecondMoment], done: int, after_block: Callable[[dict[str, SecondMoment], int], bool]
    ) -> tuple[dict[str, SecondMoment], int]:
        """Add the documents from number `done` on, block by block, until there are no more or `after_block` says so."""
        documents = islice(iter(self.corpus.documents), done, None)
        total = len(self.corpus.documents)
        with progress_bar(total=total, initial=done, desc="second moments", unit="doc", progress=self.progress) as bar:
            while block := list(islice(documents, DOCUMENTS_PER_BLOCK)):
                self._measure_block(block, moments, bar)
                done += len(block)
                if after_block(moments, done):
                    break
        return moments, done

    def _measure_block(self, block: list[str], moments: dict[str, SecondMoment], bar: tqdm) -> None:
        """One forward pass per batch serves every module; it ends at the last of them.

        A batch counts once it is through for every module, so that one which runs out of memory is not counted twice.
        """
        encoded = (encode(self.tokenizer, text)[: self.cache.longest_document] for text in block)
        rows = [row for row in encoded if row]
        bar.update(len(block) - len(rows))
        outers = in_batches(
            [len(row) for row in rows],
            self.batch_tokens,
            lambda group: self._outers([rows[i] for i in group], list(moments)),
        )
        for group, found in outers:
            tokens = sum(len(rows[i]) for i in group)
            for name in list(found):
                moments[name].add(found.pop(name), tokens)  # not kept: the next batch makes its own
            bar.update(len(group))

    def _outers(self, rows: list[list[int]], names: list[str]) -> dict[str, torch.Tensor]:
        """Σ k kᵀ over the rows' tokens for every module, each made as soon as the module's input is there."""
        batch = pad(rows, device=self.model.device)
        tokens_T = batch.attention_mask.bool().flatten()

        def take(inputs: torch.Tensor) -> torch.Tensor:
            return outer(inputs.flatten(0, -2), tokens_T.to(inputs.device))

        modules = {name: module(self.model, name) for name in names}
        with torch.no_grad(), frozen(self.model), capture(modules, inputs=True, stop=True, take=take) as seen:
            run(self.model, batch, use_cache=False)
        return seen


def _room(device: torch.device) -> float:
    """Bytes of that device's memory that derived values may take."""
    return DERIVED_SHARE * torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else math.inf


def _at_home(value: torch.Tensor) -> tuple[torch.Tensor, torch.device]:
    return value, value.device
