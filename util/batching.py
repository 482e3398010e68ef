"""Work in batches that shrink where the GPU's memory does not suffice."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from tqdm import tqdm

from util.tokens import batches

Result = TypeVar("Result")


def in_batches(
    lengths: Sequence[int], batch_tokens: int, work: Callable[[list[int]], Result]
) -> Iterator[tuple[list[int], Result]]:
    """(indices, work(indices)) for groups of rows whose padded tokens stay within the budget, longest rows first.

    See `until_they_fit` for what happens when memory runs out.
    """

    def split(left: list[int], budget: int) -> list[list[int]]:
        return [[left[i] for i in group] for group in batches([lengths[i] for i in left], budget)]

    def cost(group: list[int]) -> int:
        return len(group) * max(lengths[i] for i in group)

    return until_they_fit(split(list(range(len(lengths))), batch_tokens), split, cost, work)


def until_they_fit(
    groups: list[list[int]],
    split: Callable[[list[int], int], list[list[int]]],
    cost: Callable[[list[int]], int],
    work: Callable[[list[int]], Result],
) -> Iterator[tuple[list[int], Result]]:
    """(group, work(group)) for each group.

    A group that runs out of GPU memory is dropped with all it held; then it and all that follow are split anew, with
    half of its cost as the budget. A single item that does not fit raises. `work` must leave no trace of a group that
    failed. No result is kept here while the next group runs.
    """
    while groups:
        group, *groups = groups
        result = _attempt(work, group)
        if result:
            yield group, result.pop()
        else:
            torch.cuda.empty_cache()
            groups = split([i for one in (group, *groups) for i in one], cost(group) // 2)


def _attempt(work: Callable[[list[int]], Result], group: list[int]) -> list[Result]:
    """[work(group)], or [] where memory ran out: a function of its own, for an exception holds what the work held."""
    try:
        return [work(group)]
    except torch.OutOfMemoryError:
        if len(group) == 1:
            raise
        return []


@contextmanager
def counted_once(bar: tqdm) -> Iterator[None]:
    """Takes the progress of a block that runs out of memory back, for the block's work is tried again."""
    done = bar.n
    try:
        yield
    except torch.OutOfMemoryError:
        bar.n = done
        raise
