"""Partial sums on disk: what is left of them after a kill at any moment."""

import pytest
import torch

from util.editing.moment_cache import MomentCache
from util.moments import SecondMoment

NAMES = ["layers.1.mlp.down_proj", "layers.2.mlp.down_proj"]


def cache(folder):
    return MomentCache(folder, "weights", "tokenizer", "corpus", torch.float32, 4096)


def sums(tokens: int) -> dict[str, SecondMoment]:
    made = {name: SecondMoment(3) for name in NAMES}
    for place, moment in enumerate(made.values()):
        moment.update(torch.full((tokens, 3), 1.0 + place))
    return made


def assert_kept(found, tokens: int, documents: int, complete: bool = False):
    moments, *state = found
    assert state == [documents, complete] and list(moments) == NAMES
    for name, expected in sums(tokens).items():
        assert moments[name].count == tokens and torch.equal(moments[name].sum_II, expected.sum_II)


@pytest.mark.parametrize("killed_at", [1, 2])
def test_a_kill_while_sums_are_saved_loses_nothing(tmp_path, monkeypatch, killed_at):
    cache(tmp_path).write_partial(sums(5), 10)
    real, saves = MomentCache._save, []

    def dying(self, *rest):
        saves.append(rest)
        if len(saves) == killed_at:
            raise KeyboardInterrupt
        real(self, *rest)

    monkeypatch.setattr(MomentCache, "_save", dying)
    with pytest.raises(KeyboardInterrupt):
        cache(tmp_path).write_partial(sums(9), 20)
    monkeypatch.undo()
    assert_kept(cache(tmp_path).read_partial(NAMES, "cpu"), 5, 10)
    cache(tmp_path).write_partial(sums(9), 20)
    assert_kept(cache(tmp_path).read_partial(NAMES, "cpu"), 9, 20)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_last_sums_are_complete_once_all_are_written(tmp_path, monkeypatch):
    cache(tmp_path).write_partial(sums(5), 10)
    cache(tmp_path).write_partial({NAMES[0]: sums(5)[NAMES[0]]}, 10, complete=True)
    assert_kept(cache(tmp_path).read_partial(NAMES, "cpu"), 5, 10)
    cache(tmp_path).write_partial(sums(5), 10, complete=True)
    assert_kept(cache(tmp_path).read_partial(NAMES, "cpu"), 5, 10, complete=True)


def test_a_damaged_state_leaves_the_one_before(tmp_path):
    cache(tmp_path).write_partial(sums(5), 10)
    cache(tmp_path).write_partial({NAMES[0]: sums(9)[NAMES[0]]}, 20)
    assert cache(tmp_path).read_partial(NAMES, "cpu") is None
    cache(tmp_path).write_partial(sums(5), 10)
    broken = cache(tmp_path).path(NAMES[0], "20.partial")
    broken.write_bytes(b"cut")
    cache(tmp_path).path(NAMES[1], "20.partial").write_bytes(b"cut")
    assert_kept(cache(tmp_path).read_partial(NAMES, "cpu"), 5, 10)


def test_some_of_the_modules_are_read_and_dropped_alone(tmp_path):
    cache(tmp_path).write_partial(sums(5), 10)
    assert list(cache(tmp_path).read_partial(NAMES[1:], "cpu")[0]) == NAMES[1:]
    cache(tmp_path).write(NAMES[0], torch.eye(3), 5)
    assert cache(tmp_path).read_partial(NAMES, "cpu") is None
    assert list(cache(tmp_path).read_partial(NAMES[1:], "cpu")[0]) == NAMES[1:]
    cache(tmp_path).drop_partial(NAMES[1])
    assert not list(tmp_path.glob("*.partial"))


def test_without_a_folder_nothing_is_kept():
    cache(None).write_partial(sums(5), 10)
    assert cache(None).read_partial(NAMES, "cpu") is None and cache(None).partials(NAMES[0]) == {}
    cache(None).drop_partial(NAMES[0])


@pytest.mark.parametrize("ending", ["safetensors", "10.partial"])
def test_a_file_that_vanishes_is_not_there(tmp_path, ending):
    cache(tmp_path).write_partial(sums(5), 10)
    cache(tmp_path).write(NAMES[0], torch.eye(3), 5)
    cache(tmp_path).path(NAMES[0], ending).unlink(missing_ok=True)
    assert cache(tmp_path).read_partial(NAMES, "cpu") is None
    assert (cache(tmp_path).read(NAMES[0], "cpu") is None) == (ending == "safetensors")
