import pytest
import torch

from tests.memory import Peak
from util.errors import UserError
from util.linalg import null_space_projector, orthonormal_basis, spd_factor, spd_solve


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
