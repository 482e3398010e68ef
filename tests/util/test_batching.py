import weakref

import pytest
import torch
from tqdm import tqdm

from util.batching import counted_once, in_batches
from util.tokens import batches

LENGTHS = [3, 9, 1, 4, 4, 8, 2, 2]


def test_without_trouble_the_groups_are_those_of_the_budget():
    assert [group for group, _ in in_batches(LENGTHS, 12, len)] == batches(LENGTHS, 12)
    assert list(in_batches([], 12, len)) == []


@pytest.mark.parametrize("room", [9, 10, 16, 100])
def test_running_out_of_memory_halves_and_every_row_is_done_once(room):
    tried = []

    def work(group):
        size = max(LENGTHS[i] for i in group) * len(group)
        tried.append(size)
        if size > room:
            raise torch.OutOfMemoryError
        return [LENGTHS[i] for i in group]

    done = {i: value for group, values in in_batches(LENGTHS, 100, work) for i, value in zip(group, values)}
    assert done == dict(enumerate(LENGTHS))
    assert sorted(i for group, _ in in_batches(LENGTHS, 100, work) for i in group) == list(range(len(LENGTHS)))


def test_a_row_that_never_fits_raises():
    def work(group):
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        list(in_batches([5, 5], 10, work))


class Held:
    """What a batch takes memory for."""


def test_a_failed_batch_and_finished_ones_are_gone_before_the_next(monkeypatch):
    held, seen = [], []

    def alive():
        return sum(one() is not None for one in held)

    def work(group):
        seen.append(alive())
        taken = Held()
        held.append(weakref.ref(taken))
        if len(group) > 1:
            raise torch.OutOfMemoryError
        return taken

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(alive()))
    for _, result in in_batches([1, 1, 1], 100, work):
        del result
    assert len(held) == 4 and seen == [0] * 5


def test_progress_of_what_is_tried_again_counts_once():
    bar = tqdm(total=9, disable=True)
    bar.n = 2
    with pytest.raises(torch.OutOfMemoryError), counted_once(bar):
        bar.n += 3
        raise torch.OutOfMemoryError
    assert bar.n == 2
    with counted_once(bar):
        bar.n += 3
    assert bar.n == 5
