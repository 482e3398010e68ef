import math

import pytest
import torch

from tests.memory import Peak
from util.errors import UserError
from util.linalg import (
    basis_beside,
    energy_inside,
    mean_cosine,
    nearest_on_sphere,
    null_space_projector,
    orthonormal_basis,
    spd_factor,
    spd_solve,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_factor_and_solve():
    X, B = random(5, 9), random(5, 3, seed=1)
    A = X @ X.T
    torch.testing.assert_close(A @ spd_solve(spd_factor(A), B), B)


def test_factor_takes_float32_and_answers_in_float64():
    A = random(5, 9).float()
    assert spd_factor(A @ A.T).dtype == torch.float64


@pytest.mark.parametrize("size", [7, 1024, 1500])
def test_the_factor_is_that_of_the_symmetrised_matrix_which_is_left_alone(size):
    X = random(size, size + 3)
    A = X @ X.T + size * torch.eye(size) + 0.01 * random(size, size, seed=1)
    before = A.clone()
    torch.testing.assert_close(spd_factor(A), torch.linalg.cholesky((A + A.T) / 2))
    assert torch.equal(A, before)


@pytest.mark.parametrize("work", [spd_factor, lambda A: null_space_projector(A, 1400.0)])
def test_one_copy_of_the_matrix_beside_the_result(work):
    A = torch.arange(1.0, 1501).diag()
    with Peak() as peak:
        found = work(A)
    assert found.dtype == torch.float64 and peak.most <= 2.1 * found.nbytes


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (torch.zeros(3, 3), "not positive definite"),
        (-torch.eye(3), "not positive"),
        (torch.full((2, 2), torch.nan), "finite"),
    ],
)
def test_bad_systems_are_reported(matrix, words):
    with pytest.raises(UserError, match=words):
        spd_factor(matrix, "the system")


def test_basis_spans_and_is_orthonormal():
    U = random(7, 3)
    Q = orthonormal_basis(U)
    torch.testing.assert_close(Q.T @ Q, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(Q @ (Q.T @ U), U)


DEPENDENT = torch.cat([random(7, 2), random(7, 2).sum(1, keepdim=True)], 1)


@pytest.mark.parametrize(
    ("U", "rank"),
    [(random(7, 2).repeat(1, 3), 2), (DEPENDENT, 2), (random(4, 9), 4), (torch.zeros(5, 2), 0), (torch.zeros(5, 0), 0)],
    ids=["repeats", "dependent", "more than rows", "zero", "none"],
)
def test_rank(U, rank):
    assert orthonormal_basis(U).shape == (len(U), rank)


def test_the_scale_of_what_counts_as_nothing_may_be_given():
    U = torch.diag(torch.tensor([1.0, 1e-9, 0.0]))
    assert [orthonormal_basis(U, scale=scale).shape[1] for scale in (None, 1e-4, 1e7)] == [1, 2, 0]


def test_a_basis_beside_a_direction():
    U, common = random(7, 3), random(7, seed=1)
    Q = basis_beside(U, common)
    beside = U - torch.outer(common, common @ U) / common.square().sum()
    torch.testing.assert_close(Q.T @ Q, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(Q @ (Q.T @ beside), beside)
    assert (Q.T @ common).abs().max() < 1e-12
    assert basis_beside(U, 5 * U[:, 1]).shape[1] == 2 and basis_beside(U[:, :1], U[:, 0]).shape[1] == 0
    torch.testing.assert_close(basis_beside(U, 0 * common), orthonormal_basis(U))


def test_the_energy_inside_and_that_outside_are_the_whole():
    V, Q = random(7, 4), orthonormal_basis(random(7, 3, seed=1))
    outside = V - Q @ (Q.T @ V)
    expected = 1 - outside.square().sum(0) / V.square().sum(0)
    torch.testing.assert_close(energy_inside(V, Q), expected)
    torch.testing.assert_close(energy_inside(V * 1e6, Q), expected)
    found = energy_inside(torch.cat([Q, torch.zeros(7, 1).double()], 1), Q)
    torch.testing.assert_close(found, torch.tensor([1, 1, 1, 0]).double())
    assert energy_inside(V, Q[:, :0]).tolist() == [0] * 4


def test_mean_cosine_is_that_of_all_pairs():
    X = random(5, 4)
    pairs = [torch.cosine_similarity(X[:, i], X[:, j], dim=0) for i in range(4) for j in range(i)]
    assert mean_cosine(X) == pytest.approx(torch.stack(pairs).mean().item())
    assert mean_cosine(torch.cat([X, torch.zeros(5, 1)], 1)) == pytest.approx(mean_cosine(X))
    assert math.isnan(mean_cosine(X[:, :1]))


def test_null_space_projector():
    vectors = orthonormal_basis(random(6, 6))
    C = vectors @ torch.diag(torch.tensor([0, 1e-3, 0.5, 2, 3, 4.0], dtype=torch.float64)) @ vectors.T
    N = null_space_projector(C, 0.01)
    torch.testing.assert_close(N @ N, N)
    torch.testing.assert_close(N, vectors[:, :2] @ vectors[:, :2].T)
    torch.testing.assert_close(null_space_projector(C, 0.2, relative=True), vectors[:, :3] @ vectors[:, :3].T)


def test_an_empty_null_space_is_an_error():
    with pytest.raises(UserError, match="nullspace_threshold"):
        null_space_projector(torch.eye(3), 0.01)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0], ids=["inside", "near", "outside"])
def test_nearest_on_sphere(scale):
    """Stationary on the sphere, and no other point found there is nearer."""
    gain, wanted = random(7) * 2, scale * random(7, 4, seed=1)
    u = nearest_on_sphere(gain, wanted)
    torch.testing.assert_close(u.square().mean(0), torch.ones(4, dtype=torch.float64))
    gradient = gain[:, None] * (gain[:, None] * u - wanted)
    torch.testing.assert_close(gradient, u * (u * gradient).mean(0), atol=1e-6, rtol=1e-6)
    others = torch.cat([random(7, 2000, seed=2), *(u + 0.01 * random(7, 4, seed=3 + i) for i in range(50))], 1)
    others *= 7**0.5 / others.norm(dim=0)
    for column in range(4):
        best = (gain * u[:, column] - wanted[:, column]).norm()
        assert ((gain[:, None] * others - wanted[:, column, None]).norm(dim=0) >= best - 1e-9).all()


def test_nearest_on_sphere_of_what_the_gain_reaches_is_that_and_a_gain_of_zero_is_borne():
    gain, u = random(7), random(7, 3, seed=1)
    u *= 7**0.5 / u.norm(dim=0)
    torch.testing.assert_close(nearest_on_sphere(gain, gain[:, None] * u), u)
    gain[2] = 0
    assert nearest_on_sphere(gain, random(7, 3)).square().mean(0).allclose(torch.ones(3, dtype=torch.float64))


def test_a_ridge_is_a_share_of_the_mean_diagonal_entry():
    A = torch.diag(torch.tensor([0.0, 2.0, 7.0], dtype=torch.float64))
    factor = spd_factor(A, ridge=0.1)
    torch.testing.assert_close(factor @ factor.T, A + 0.3 * torch.eye(3, dtype=torch.float64))
    with pytest.raises(UserError, match="; eat more greens$"):
        spd_factor(A, remedy="eat more greens")
