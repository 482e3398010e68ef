"""Forward passes in batches that shrink where the GPU's memory does not suffice."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from util.tokens import batches

Result = TypeVar("Result")


def in_batches(
    lengths: Sequence[int], batch_tokens: int, work: Callable[[list[int]], Result]
) -> Iterator[tuple[list[int], Result]]:
    """(indices, work(indices)) for groups of rows whose padded tokens stay within the budget, longest rows first.

    A group that runs out of GPU memory is halved, and so is the budget of all that follow; a single row that does not
    fit raises.
    """
    queue = batches(lengths, batch_tokens)
    while queue:
        group = queue.pop(0)
        try:
            result = work(group)
        except torch.OutOfMemoryError:
            if len(group) == 1:
                raise
            torch.cuda.empty_cache()
            half = len(group) // 2 * lengths[group[0]]
            left = [i for one in (group, *queue) for i in one]
            queue = [[left[i] for i in one] for one in batches([lengths[i] for i in left], half)]
            continue
        yield group, result
