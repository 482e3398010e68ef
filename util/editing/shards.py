"""One corpus measured in shares, by several processes or GPUs or one after the other, and put together again.

A share's moments are kept as plain sums, which add up to the whole corpus's without loss; the merged files are the very
ones that an undivided measurement leaves.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from util.editing.moment_cache import MomentCache
from util.editing.statistics import Corpus, CorpusMoments
from util.errors import UserError
from util.moments import SecondMoment


@dataclass(frozen=True)
class Shard:
    """Every `count`-th document of a corpus, from number `index` on; itself a corpus."""

    corpus: Corpus
    index: int
    count: int

    @property
    def name(self) -> str:
        return f"{self.corpus.name}, share {self.index} of {self.count}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.corpus.digest} share {self.index} of {self.count}".encode()).hexdigest()

    @property
    def documents(self) -> Sequence[str]:
        """Read when asked for: a share that is measured already needs no text."""
        return self.corpus.documents[self.index :: self.count]


@dataclass(frozen=True)
class Shares:
    """All that a merge has to know of the moments: modules, corpus, and what names the files. It needs no model."""

    names: Sequence[str]
    corpus: Corpus
    cache: MomentCache


def merge(moments: CorpusMoments | Shares, count: int) -> None:
    """Put the sums of all `count` shares of the moments' corpus together, keep the result, and drop the shares' files.

    Does nothing where the result is there already. Raises UserError naming the shares that are not measured to the end,
    and for a corpus without tokens. The sums are added on the CPU: they come from files and go to files.
    """
    cache = moments.cache
    with cache.alone():
        missing = [name for name in moments.names if cache.header(name) is None]
        if missing:
            _merge(missing, cache, moments.corpus, count)


def _merge(missing: list[str], cache: MomentCache, corpus: Corpus, count: int) -> None:
    caches = [replace(cache, corpus=Shard(corpus, index, count).digest) for index in range(count)]
    totals, documents = _added_up(missing, caches, corpus.name)
    for name, moment in totals.items():
        if moment.count == 0:
            raise UserError(f"corpus {corpus.name} has no tokens; name another mom2_dataset in the hparams")
        cache.write(name, moment.value().to(cache.dtype), moment.count, documents=documents)
    for share in caches:
        for name in missing:
            share.drop_partial(name)


def _added_up(names: list[str], caches: list[MomentCache], corpus: str) -> tuple[dict[str, SecondMoment], int]:
    totals: dict[str, SecondMoment] = {}
    documents, lacking = 0, []
    for index, cache in enumerate(caches):
        sums, seen, complete = cache.read_partial(names, "cpu") or ({}, 0, False)
        if not complete:
            lacking.append(str(index))
            continue
        documents += seen
        for name, moment in sums.items():
            totals.setdefault(name, SecondMoment(len(moment.sum_II))).merge(moment)
    if lacking:
        raise UserError(
            f"of the {len(caches)} shares of corpus {corpus}, number {', '.join(lacking)} is not measured "
            f"to the end (looked in {caches[0].folder}); measure it with the same model, hparams and dtype first"
        )
    return totals, documents
