import pytest
import torch

from util.low_rank import LowRank, cosines, input_basis, low_rank, on_grid, rounding_noise, truncated


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def changed(W, rank, scale=1.0, size=0.1, dtype=torch.float32, seed=1):
    before = W.to(dtype)
    D = size * random(W.shape[0], rank, seed=seed) @ random(rank, W.shape[1], seed=seed + 1)
    return before, (scale * before.double() + D).to(dtype), D


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(40, 70), (70, 40)])
@pytest.mark.parametrize("scale", [1.0, 1.01, 0.97])
def test_rank_and_scale_are_found_and_the_rest_is_rounding(shape, scale, dtype):
    before, after, _ = changed(random(*shape), 5, scale, dtype=dtype)
    found = low_rank(before, after)
    assert found.rank == 5
    assert found.scale == pytest.approx(scale, abs=torch.finfo(dtype).eps)
    ulp = torch.finfo(dtype).eps * float(after.double().abs().max())
    assert float((found.forward(before) - after.double()).abs().max()) < ulp
    assert float((found.backward(after) - before.double()).abs().max()) < ulp


def test_a_change_of_full_rank_has_no_factors():
    W = random(20, 30).float()
    assert low_rank(W, W + 0.1 * random(20, 30, seed=1).float()) is None


def test_a_scale_alone_has_rank_zero_and_no_change_too():
    W = random(20, 30).float()
    found = low_rank(W, 1.5 * W)
    assert (found.rank, found.scale) == (0, pytest.approx(1.5, abs=1e-6))
    assert low_rank(W, W).rank == 0


def test_dependent_rows_leave_the_scale_alone():
    W = torch.cat([random(10, 30), random(10, 30)]).float()
    assert low_rank(W, 1.5 * W + random(20, 30, seed=3).float()) is None


def test_a_change_below_rounding_is_rounding():
    before, after, _ = changed(random(40, 70), 5, size=1e-9)
    assert low_rank(before, after).rank == 0


def test_the_product_is_exact_whatever_the_order_of_its_sums():
    """Against whole numbers in Python, and against the same factors in another order."""
    (left, a), (right, b) = on_grid(random(4, 9)), on_grid(random(9, 3, seed=1))
    factors = LowRank(1.0, a + b, left, right)
    rows, columns = left.tolist(), right.T.tolist()
    exact = [[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in rows]
    found = factors.product() * 2.0 ** -(a + b)
    assert (found - torch.tensor(exact, dtype=torch.float64)).abs().max() <= 2**8  # of 2^60
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    shuffled = LowRank(1.0, a + b, left[:, order], right[order])
    assert torch.equal(shuffled.product(), factors.product())


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e20])
def test_the_grid_keeps_thirty_bits(scale):
    A = scale * random(5, 6)
    grid, exponent = on_grid(A)
    assert grid.abs().max() <= 2**30
    assert (grid.double() * 2.0**exponent - A).abs().max() <= A.abs().max() * 2**-29
    assert on_grid(torch.zeros(2, 3))[0].abs().max() == 0


def test_rounding_noise_bounds_what_rounding_leaves_out_from_near():
    A = random(60, 90)
    for dtype in (torch.float32, torch.bfloat16):
        left_out = torch.linalg.matrix_norm(A - A.to(dtype).double(), 2)
        assert 0.7 < left_out / rounding_noise(A.to(dtype)) < 1.1


@pytest.mark.parametrize("side", [0, 1])
def test_the_rounding_of_a_heavy_row_or_column_is_no_direction(side):
    """Most of what rounding leaves out stands in it, far above the mean."""
    W = random(60, 90)
    W.select(side, 7).mul_(30)
    before = W.float()
    after = (before.double() + random(60, 1, seed=3) @ random(1, 90, seed=4)).float()
    found = low_rank(before, after)
    assert found is not None and found.rank == 1


def test_truncation_is_the_best_of_its_rank_and_tells_its_error():
    D = random(12, 5) @ random(5, 9, seed=1)
    up, down, error = truncated(D, None)
    assert up.shape[1] == 5 and error < 1e-12
    torch.testing.assert_close(up @ down, D)
    up, down, error = truncated(D, 2)
    singular = torch.linalg.svdvals(D)
    assert error == pytest.approx(float(singular[2:5].norm() / singular.norm()))
    assert float((D - up @ down).norm()) == pytest.approx(float(singular[2:].norm()))


def test_angles_between_what_two_changes_read():
    keys = torch.linalg.qr(random(8, 4))[0]
    first, second = (random(6, 2, seed=n) @ keys[:, columns].T for n, columns in ((1, [0, 1]), (2, [1, 2])))
    found = cosines(input_basis(first, 1e-9), input_basis(second, 1e-9))
    torch.testing.assert_close(found, torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-7, rtol=0)
    assert input_basis(first, 1e9).shape == (8, 0)
