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


def merge(moments: CorpusMoments, count: int) -> None:
    """Put the sums of all `count` shares of the moments' corpus together, keep the result, and drop the shares' files.

    Does nothing where the result is there already. Raises UserError naming the shares that are not measured to the end.
    """
    missing = [name for name in moments.names if moments.cache.header(name) is None]
    if not missing:
        return
    caches = [replace(moments.cache, corpus=Shard(moments.corpus, index, count).digest) for index in range(count)]
    totals, documents = _added_up(missing, caches, moments)
    moments.keep(totals, {"documents": documents})
    for cache in caches:
        for name in missing:
            cache.drop_partial(name)


def _added_up(
    names: list[str], caches: list[MomentCache], moments: CorpusMoments
) -> tuple[dict[str, SecondMoment], int]:
    totals: dict[str, SecondMoment] = {}
    documents, lacking = 0, []
    for index, cache in enumerate(caches):
        sums, seen, complete = cache.read_partial(names, moments.model.device) or ({}, 0, False)
        if not complete:
            lacking.append(str(index))
            continue
        documents += seen
        for name, moment in sums.items():
            totals.setdefault(name, SecondMoment(len(moment.sum_II), moment.sum_II.device)).merge(moment)
    if lacking:
        raise UserError(
            f"of the {len(caches)} shares of corpus {moments.corpus.name}, number {', '.join(lacking)} is not measured "
            f"to the end (looked in {moments.cache.folder}); measure it with the same model, hparams and dtype first"
        )
    return totals, documents
