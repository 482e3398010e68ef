"""A corpus measured in shares, and a measurement that stops early."""

import pytest
import torch

from tests.tiny import TEXT, TINY
from tests.util.editing.test_statistics import Corpus, counted, make, names, one_by_one
from util.editing import statistics
from util.editing.early_stop import EarlyStop
from util.editing.shards import Shard, merge
from util.editing.statistics import CorpusMoments
from util.errors import UserError
from util.moments import SecondMoment
from zerounlearn.solve import factor_utility, solve


def share(model, tok, family, index, count, folder):
    return make(model, tok, family, Shard(Corpus(), index, count), cache_dir=folder)


def test_merged_shares_are_the_undivided_measurement(family, tmp_path):
    model, tok = TINY[family]()
    sums = [share(model, tok, family, index, 3, tmp_path).sums() for index in (2, 0, 1)]
    merged = make(model, tok, family, cache_dir=tmp_path)
    merge(merged, 3)
    assert not list(tmp_path.glob("*.partial"))
    undivided = make(model, tok, family, cache_dir=tmp_path / "other")
    for name in names(family):
        total, count = sum(each[name].sum_II for each in sums), sum(each[name].count for each in sums)
        torch.testing.assert_close(merged[name], total / count, atol=0, rtol=1e-14)
        torch.testing.assert_close(merged[name], undivided[name], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(merged[name], one_by_one(model, tok, name, TEXT), atol=1e-5, rtol=1e-4)
        assert merged.cache.path(name).name == undivided.cache.path(name).name
        assert merged.cache.header(name) == undivided.cache.header(name)


def test_later_runs_read_what_was_merged(family, tmp_path, monkeypatch):
    model, tok = TINY[family]()
    for index in range(2):
        share(model, tok, family, index, 2, tmp_path).sums()
    merge(make(model, tok, family, cache_dir=tmp_path), 2)
    monkeypatch.setattr(CorpusMoments, "_measure", None)
    again = make(model, tok, family, cache_dir=tmp_path)
    assert set(dict(again)) == set(names(family))
    merge(again, 2)
    merge(again, 5)


def test_a_finished_share_is_not_measured_again(family, tmp_path, monkeypatch):
    model, tok = TINY[family]()
    first = share(model, tok, family, 0, 2, tmp_path).sums()
    blocks = []
    monkeypatch.setattr(CorpusMoments, "_measure_block", counted(CorpusMoments._measure_block, blocks))
    again = share(model, tok, family, 0, 2, tmp_path).sums()
    assert not blocks and all(torch.equal(first[name].sum_II, again[name].sum_II) for name in first)


def test_missing_and_unfinished_shares_are_named(family, tmp_path, monkeypatch):
    model, tok = TINY[family]()
    share(model, tok, family, 1, 3, tmp_path).sums()
    interrupt_after_one_document(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        share(model, tok, family, 0, 3, tmp_path).sums()
    assert len(list(tmp_path.glob("*.partial"))) == 4
    with pytest.raises(UserError, match="number 0, 2 is not measured"):
        merge(make(model, tok, family, cache_dir=tmp_path), 3)


def interrupt_after_one_document(monkeypatch):
    real, blocks = CorpusMoments._measure_block, []

    def interrupted(self, block, *rest):
        blocks.append(block)
        if len(blocks) == 2:
            raise KeyboardInterrupt
        real(self, block, *rest)

    monkeypatch.setattr(statistics, "DOCUMENTS_PER_BLOCK", 1)
    monkeypatch.setattr(statistics, "SAVE_EVERY_SECONDS", -1)
    monkeypatch.setattr(CorpusMoments, "_measure_block", interrupted)


def test_shares_are_every_document_once():
    shards = [Shard(Corpus(), index, 2) for index in range(2)]
    assert sorted(text for shard in shards for text in shard.documents) == sorted(TEXT)
    assert len({shard.digest for shard in shards} | {Shard(Corpus(), 0, 3).digest, Corpus().digest}) == 4


# --- early stop


def test_a_settled_moment_stops_early_and_says_so(family, tmp_path, monkeypatch):
    model, tok = TINY[family]()
    monkeypatch.setattr(statistics, "DOCUMENTS_PER_BLOCK", 2)
    corpus = Corpus(documents=TEXT[:2] * 50)
    early = make(model, tok, family, corpus, cache_dir=tmp_path, tolerance=1e-3)
    for name in names(family):
        torch.testing.assert_close(early[name], one_by_one(model, tok, name, TEXT[:2]), atol=1e-5, rtol=1e-4)
        header = early.cache.header(name)
        assert header["documents"] == 4 and header["change"] < 1e-3
        assert header["key"]["tolerance"] == 1e-3
        assert early.facts()[name] == {key: header[key] for key in ("count", "documents", "change")}


def test_early_moments_are_never_taken_for_whole_ones(family, tmp_path, monkeypatch):
    model, tok = TINY[family]()
    passes = []
    monkeypatch.setattr(CorpusMoments, "_measure", counted(CorpusMoments._measure, passes))
    for tolerance in (None, 0.1, 0.2, None, 0.1):
        dict(make(model, tok, family, cache_dir=tmp_path, tolerance=tolerance))
    assert len(passes) == 3 and len(list(tmp_path.iterdir())) == 6


def test_a_corpus_that_ends_first_is_used_whole(family, tmp_path):
    model, tok = TINY[family]()
    early = make(model, tok, family, cache_dir=tmp_path, tolerance=1e-9)
    whole = make(model, tok, family)
    for name in names(family):
        assert torch.equal(early[name], whole[name]) and "change" not in early.cache.header(name)


def moment(*keys):
    made = SecondMoment(2)
    made.update(torch.tensor(keys))
    return made


def watching(tolerance, *modules):
    """Modules of one row that read the first of two inputs, each watched at one key."""
    return EarlyStop(
        {name: torch.tensor([[1.0, 0.0]]) for name in modules},
        {name: torch.tensor([[1.0], [0.0]]) for name in modules},
        tolerance,
    )


def test_only_doublings_are_compared_and_the_worst_module_counts():
    early = watching(0.15, "a", "b")
    steady = moment([1.0, 0.0])
    assert not early.settled({"a": steady, "b": moment([1.0, 0.0])}, 10) and early.change is None
    assert not early.settled({"a": steady, "b": moment([9.0, 0.0])}, 19) and early.change is None
    assert not early.settled({"a": steady, "b": moment([2.0, 0.0])}, 20)
    assert early.change == pytest.approx(3, rel=1e-3)  # the update is inverse to the moment: (1 − 1/4) / (1/4)
    assert not early.settled({"a": steady, "b": moment([2.0, 0.0])}, 39) and early.change == pytest.approx(3, rel=1e-3)
    # what W does not read does not count
    assert early.settled({"a": steady, "b": moment([2.0, 7.0])}, 40) and early.change == 0.0


def test_nothing_is_settled_before_there_are_tokens():
    early = watching(0.5, "a")
    assert not early.settled({"a": SecondMoment(2)}, 10)
    assert not early.settled({"a": moment([1.0, 0.0])}, 20) and early.change is None
    assert early.settled({"a": moment([1.0, 0.0])}, 40)


def test_dependent_rows_of_a_weight_give_no_singular_system():
    early = EarlyStop({"a": torch.ones(2, 2)}, {"a": torch.ones(2, 1)}, 0.5)
    for documents in (10, 20):
        settled = early.settled({"a": moment([1.0, 0.0])}, documents)
    assert settled and early.change == 0.0


@pytest.mark.parametrize("samples", [200, 800])
def test_the_change_reported_is_that_of_the_update(samples):
    """Keys with one direction far above the others, as the first token's: C settles at once, the update does not."""
    draw = torch.Generator().manual_seed(samples)
    scale = torch.logspace(0, -2, 31).double()
    scale[0] = 100

    def keys(count):
        return torch.randn(31, count, generator=draw, dtype=torch.float64) * scale[:, None]

    W_OI, R_ON = (torch.randn(13, size, generator=draw, dtype=torch.float64) for size in (31, 5))
    early, K_IN = EarlyStop({"a": W_OI}, {"a": keys(64)}, 1e-9), keys(5)
    moments, updates = SecondMoment(31), []
    for documents in (1, 2):
        moments.update(keys(samples).T)
        early.settled({"a": moments}, documents)
        factor = factor_utility(W_OI, moments.value(), 15000, 1)
        updates.append(solve(W_OI, K_IN, R_ON, R_ON[:, :0], factor, b=50, epsilon=0.01, projector="none") - W_OI)
    moved = ((updates[1] - updates[0]).norm() / updates[1].norm()).item()
    assert 0.5 < early.change / moved < 2
