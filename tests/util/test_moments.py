import pytest
import torch

from util import moments
from util.moments import SecondMoment, outer


def keys(count, seed=0):
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed)) + 1


def test_value_is_the_uncentred_mean_of_outer_products():
    moment = SecondMoment(5)
    moment.update(keys(7))
    moment.update(keys(4, seed=1))
    X = torch.cat([keys(7), keys(4, seed=1)]).double()
    torch.testing.assert_close(moment.value(), X.T @ X / 11, atol=1e-6, rtol=1e-6)
    assert not torch.allclose(moment.value(), torch.cov(X.T, correction=0), atol=0.1)


def test_shards_merge_to_the_whole():
    whole, left, right = SecondMoment(5), SecondMoment(5), SecondMoment(5)
    for shard, seed in ((left, 0), (right, 1)):
        whole.update(keys(6, seed))
        shard.update(keys(6, seed))
    left.merge(right)
    assert torch.equal(left.value(), whole.value()) and left.count == 12


def test_float64_vectors_keep_their_digits():
    moment = SecondMoment(5)
    X = keys(6).double() * (1 + 1e-12)
    moment.update(X)
    torch.testing.assert_close(moment.value(), X.T @ X / 6, atol=0, rtol=1e-14)


def test_nothing_seen_and_wrong_size_are_errors():
    with pytest.raises(ValueError, match="no vectors"):
        SecondMoment(5).value()
    with pytest.raises(ValueError, match="expected"):
        SecondMoment(5).update(torch.zeros(2, 4))


def test_outer_takes_the_wanted_vectors_chunk_by_chunk(monkeypatch):
    monkeypatch.setattr(moments, "CHUNK", 4)
    X, wanted = keys(11), torch.arange(11) % 3 > 0
    torch.testing.assert_close(outer(X), X.T @ X)
    torch.testing.assert_close(outer(X, wanted), X[wanted].T @ X[wanted])
    assert outer(X.bfloat16()).dtype == torch.float32
    assert outer(X[:0]).abs().max() == 0
