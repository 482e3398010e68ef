import pytest
import torch

from util.bits import added, difference

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def random(dtype, *shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def same_bits(A, B):
    return A.dtype == B.dtype and A.shape == B.shape and torch.equal(A.view(torch.uint8), B.view(torch.uint8))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_difference_leads_both_ways_to_the_bit(dtype):
    A, B = random(dtype, 7, 5), random(dtype, 7, 5, seed=1)
    A[0], B[1] = torch.tensor([0.0, -0.0, float("inf"), float("nan"), -1.0]), float("-inf")
    packed = difference(A, B)
    assert same_bits(added(A, packed), B) and same_bits(added(B, packed, sign=-1), A)


def test_few_differences_in_rounding_take_little_room():
    A = random(torch.float32, 300, 400)
    near = torch.where(random(torch.float32, 300, 400, seed=1) > 1.6, A * (1 + 2**-23), A)
    assert 0 < (near != A).float().mean() < 0.1
    assert difference(A, near).nbytes < A.nbytes / 30 < difference(A, A.flip(0)).nbytes / 20


@pytest.mark.parametrize("spoil", [lambda packed: packed[:-3], lambda packed: torch.cat([packed[:2], packed[3:]])])
def test_bytes_that_are_no_difference_are_refused(spoil):
    A = random(torch.float32, 4, 5)
    with pytest.raises(ValueError, match="packed difference"):
        added(A, spoil(difference(A, A + 1)))


def test_a_difference_of_another_size_is_refused():
    A = random(torch.float32, 4, 5)
    with pytest.raises(ValueError, match="80 bytes for a tensor of 40"):
        added(A[:2], difference(A, A + 1))


def test_nothing_is_changed_by_no_difference():
    A = random(torch.float16, 3, 4)
    assert torch.equal(added(A, difference(A, A)), A)
