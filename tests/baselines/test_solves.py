"""The closed forms of ROME, MEMIT and AlphaEdit in float64 on small odd sizes (O ≠ I ≠ N)."""

import pytest
import torch

from baselines.alphaedit.solve import solve as alphaedit
from baselines.memit.solve import solve as memit
from baselines.rome.solve import solve as rome
from util.errors import UserError
from util.linalg import null_space_projector, spd_factor

A, L2 = 7.0, 0.3


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(o=5, i=9, n=3, tokens=40):
    """K, R, C of a random layer, C from `tokens` keys."""
    keys = random(i, tokens, seed=4)
    return random(i, n, seed=1), random(o, n, seed=2), keys @ keys.T / tokens


def half_null(C):
    """A projector on the lower half of C's spectrum."""
    return null_space_projector(C, float(torch.linalg.eigvalsh(C)[len(C) // 2]))


def gradient(objective, at):
    at = at.detach().requires_grad_(True)
    return torch.autograd.grad(objective(at), at)[0].abs().max()


SHAPES = {"usual": {}, "one fact": {"n": 1}, "more facts than inputs": {"n": 13}}


# --- MEMIT


def memit_objective(K, R, C):
    return lambda change: (change @ K - R).square().sum() + A * (change @ C @ change.T).trace()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_memit_equals_the_direct_form(shape):
    K, R, C = problem(**shape)
    direct = torch.linalg.solve(A * C + K @ K.T, K @ R.T).T
    change = memit(K, R, spd_factor(C), a=A)
    assert (change - direct).abs().max() < 1e-9
    assert change.dtype == torch.float64 and change.abs().max() > 1e-3


def test_memit_equals_least_squares():
    K, R, C = problem()
    X = torch.cat([K, A**0.5 * torch.linalg.cholesky(C)], 1)
    oracle = torch.linalg.lstsq(X.T, torch.cat([R, torch.zeros(5, 9, dtype=R.dtype)], 1).T).solution.T
    assert (memit(K, R, spd_factor(C), a=A) - oracle).abs().max() < 1e-9


def test_memit_is_the_minimum_and_nothing_else_is():
    K, R, C = problem()
    change = memit(K, R, spd_factor(C), a=A)
    assert gradient(memit_objective(K, R, C), change) < 1e-9
    assert gradient(memit_objective(K, R, C), change + 1e-3 * random(5, 9)) > 1e-3


def test_memit_on_duplicate_zero_and_finished_facts():
    K, R, C = problem()
    factor = spd_factor(C)
    once = memit(K, R, factor, a=A)
    assert (memit(torch.cat([K, K], 1), torch.cat([R, R], 1), factor, a=2 * A) - once).abs().max() < 1e-9
    with_zero = memit(torch.cat([K, 0 * K], 1), torch.cat([R, R], 1), factor, a=A)
    assert (with_zero - once).abs().max() < 1e-9
    assert memit(K, 0 * R, factor, a=A).abs().max() == 0


def test_a_heavier_corpus_moves_less():
    K, R, C = problem()
    sizes = [memit(K, R, spd_factor(C), a=a).norm() for a in (1e-9, 1.0, 1e3)]
    assert sizes[0] > sizes[1] > 10 * sizes[2]
    assert (memit(K, R, spd_factor(C), a=1e-9) @ K - R).abs().max() < 1e-6


# --- AlphaEdit


def published_alphaedit(K, R, N, earlier, ridge):
    moment = N @ (K @ K.T + earlier @ earlier.T) + ridge * torch.eye(len(K), dtype=K.dtype)
    return torch.linalg.solve(moment, N @ K @ R.T).T


@pytest.mark.parametrize("earlier", [0, 2, 11])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_alphaedit_equals_the_published_form(shape, earlier):
    K, R, C = problem(**shape)
    N, before = half_null(C), random(9, earlier, seed=5)
    change = alphaedit(K, R, N, before, ridge=L2)
    assert (change - published_alphaedit(K, R, N, before, L2)).abs().max() < 1e-9
    assert change.dtype == torch.float64 and change.abs().max() > 1e-3


def test_alphaedit_keeps_to_the_null_space_and_is_its_minimum():
    K, R, C = problem()
    N, before = half_null(C), random(9, 2, seed=5)
    change = alphaedit(K, R, N, before, ridge=L2)
    assert (change @ N - change).abs().max() < 1e-12

    def objective(free):
        X = free @ N
        return (X @ K - R).square().sum() + (X @ before).square().sum() + L2 * X.square().sum()

    assert gradient(objective, change) < 1e-9
    assert gradient(objective, change + 1e-2 * random(5, 9)) > 1e-4


def test_alphaedit_with_the_whole_space_is_ridge_regression():
    K, R, _ = problem()
    everything = torch.eye(9, dtype=K.dtype)
    ridge = torch.linalg.lstsq(
        torch.cat([K, L2**0.5 * everything], 1).T, torch.cat([R, torch.zeros(5, 9, dtype=R.dtype)], 1).T
    ).solution.T
    assert (alphaedit(K, R, everything, K[:, :0], ridge=L2) - ridge).abs().max() < 1e-9


def test_earlier_keys_are_disturbed_less():
    K, R, C = problem(n=2)
    N, before = half_null(C), random(9, 2, seed=5)
    free, guarded = (alphaedit(K, R, N, keys, ridge=1e-3) @ before for keys in (before[:, :0], before))
    assert guarded.norm() < 0.5 * free.norm()


# --- ROME


@pytest.mark.parametrize("adjusted", [True, False])
def test_rome_hits_its_target_along_one_direction(adjusted):
    K, R, C = problem(n=1)
    key, residual, mean = K[:, 0], R[:, 0], K[:, 0] + 0.1 * random(9, seed=6)
    change = rome(mean, key, residual, spd_factor(C) if adjusted else None)
    direction = torch.linalg.solve(C, mean) if adjusted else mean
    assert (change @ key - residual).abs().max() < 1e-9
    assert torch.linalg.matrix_rank(change) == 1
    assert (change - change @ torch.outer(direction, direction) / (direction @ direction)).abs().max() < 1e-9


def test_rome_disturbs_the_corpus_least_among_all_changes_that_hit():
    K, R, C = problem(n=1)
    change = rome(K[:, 0], K[:, 0], R[:, 0], spd_factor(C))
    constrained = torch.cat([torch.cat([C, K], 1), torch.cat([K.T, torch.zeros(1, 1, dtype=C.dtype)], 1)], 0)
    right = torch.cat([torch.zeros(9, 5, dtype=C.dtype), R.T], 0)
    assert (change - torch.linalg.solve(constrained, right)[:9].T).abs().max() < 1e-9
    plain = rome(K[:, 0], K[:, 0], R[:, 0], None)
    assert (change @ C @ change.T).trace() < 0.9 * (plain @ C @ plain.T).trace()


def test_rome_ignores_the_scale_of_the_mean_key_and_of_the_moment():
    K, R, C = problem(n=2)
    change = rome(K[:, 1], K[:, 0], R[:, 0], spd_factor(C))
    assert (rome(5 * K[:, 1], K[:, 0], R[:, 0], spd_factor(3 * C)) - change).abs().max() < 1e-9


@pytest.mark.parametrize("mean", [[0.0, 1.0], [0.0, 0.0]])
def test_rome_refuses_a_key_it_cannot_move(mean):
    with pytest.raises(UserError, match="orthogonal"):
        rome(torch.tensor(mean), torch.tensor([1.0, 0.0]), torch.ones(3), None)
