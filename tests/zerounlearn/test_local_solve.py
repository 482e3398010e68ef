"""ZeroUnlearn-Local's closed form by its mathematics, in float64 on odd sizes."""

import pytest
import torch

from baselines.memit.solve import solve as memit
from util.linalg import spd_factor
from zerounlearn.local.solve import solve, without_own_direction

OUT, IN, N, M = 5, 9, 3, 4


@pytest.fixture
def problem():
    draw = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    keys = normal(4 * IN, IN)
    return {"K": normal(IN, N), "R": normal(OUT, N), "P": normal(IN, M), "C": keys.T @ keys / len(keys)}


def change(problem, a=2.0, kappa=3.0, **own):
    given = problem | own
    return solve(given["K"], given["R"], given["P"], spd_factor(given["C"]), a=a, kappa=kappa)


def objective(X, problem, a=2.0, kappa=3.0):
    corpus = a * torch.trace(X @ problem["C"] @ X.T)
    kept = kappa * N / M * (X @ problem["P"]).square().sum()
    return corpus + kept + (X @ problem["K"] - problem["R"]).square().sum()


def test_the_change_is_optimal_and_nothing_else_is(problem):
    """A zero gradient at the solution, and none at a neighbour: the objective is strictly convex."""
    for move, vanishes in ((0.0, True), (1e-3, False)):
        X = (change(problem) + move).requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(X, problem), X)
        assert (gradient.abs().max() < 1e-10) == vanishes


def test_woodbury_equals_the_direct_form(problem):
    K, R, P, C = (problem[name] for name in "KRPC")
    direct = R @ K.T @ torch.linalg.inv(2.0 * C + 3.0 * N / M * P @ P.T + K @ K.T)
    torch.testing.assert_close(change(problem), direct)


def test_many_protected_keys_and_an_ill_conditioned_corpus_leave_it_exact(problem):
    """Where N + M ≥ I: Woodbury's (a C)⁻¹ would lose every digit here."""
    draw = torch.Generator().manual_seed(2)
    Q = torch.linalg.qr(torch.randn(IN, IN, generator=draw, dtype=torch.float64)).Q
    C = Q @ torch.diag(torch.logspace(0, -13, IN, dtype=torch.float64)) @ Q.T
    P, K, R = torch.randn(IN, 40, generator=draw, dtype=torch.float64), problem["K"], problem["R"]
    A = 2.0 * C + 3.0 * N / 40 * P @ P.T + K @ K.T
    torch.testing.assert_close(change(problem, C=C, P=P) @ A, R @ K.T, atol=1e-11, rtol=1e-11)


def test_without_protection_it_is_memit(problem):
    expected = memit(problem["K"], problem["R"], spd_factor(problem["C"]), a=2.0)
    torch.testing.assert_close(change(problem, kappa=0.0), expected)
    torch.testing.assert_close(change(problem, P=problem["P"][:, :0]), expected)
    assert (change(problem) - expected).abs().max() > 1e-3


def test_protected_values_stay_as_the_weight_grows(problem):
    moved = [(change(problem, kappa=kappa) @ problem["P"]).norm().item() for kappa in (0.0, 1.0, 1e3, 1e9)]
    assert moved == sorted(moved, reverse=True) and moved[-1] < 1e-6 * moved[0]
    assert (change(problem, a=1e-9, kappa=1e3) @ problem["K"] - problem["R"]).abs().max() < 1e-4


def test_under_full_protection_it_is_memit_in_what_is_left_free(problem):
    """X = Y Bᵀ, B a basis of what is orthogonal to the protected keys; Y is MEMIT's for Bᵀ K and Bᵀ C B."""
    K, R, P, C = (problem[name] for name in "KRPC")
    B = torch.linalg.svd(P)[0][:, M:]
    expected = memit(B.T @ K, R, spd_factor(B.T @ C @ B), a=2.0) @ B.T
    torch.testing.assert_close(change(problem, kappa=1e9), expected, atol=1e-6, rtol=1e-6)


def test_protected_keys_count_by_their_share(problem):
    twice = change(problem, P=torch.cat([problem["P"]] * 2, dim=1))
    torch.testing.assert_close(twice, change(problem))


def test_a_protected_fact_is_a_compromise(problem):
    """A key that is both forgotten and protected moves by less than asked for, and nothing breaks."""
    X = change(problem, P=problem["K"], a=1e-9, kappa=1.0)
    torch.testing.assert_close(X @ problem["K"], problem["R"] / 2, atol=1e-4, rtol=1e-4)


def test_targets_lose_their_own_direction_alone(problem):
    T, U = problem["R"], torch.randn(OUT, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = without_own_direction(T, U)
    torch.testing.assert_close((found * U).sum(0), torch.zeros(N, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(without_own_direction(found, U), found)
    assert ((found - T) * U).sum(0).abs().min() > 0  # it was there before
    outside = T - U * (T * U).sum(0) / U.square().sum(0)
    torch.testing.assert_close(found, outside)


def test_a_value_that_is_all_common_but_for_rounding_leaves_the_target_alone(problem):
    T, common = problem["R"], torch.randn(OUT, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    U = torch.outer(common, torch.tensor([3.7, -0.4, 11.0])).float()
    torch.testing.assert_close(without_own_direction(T, U, common), T)


def test_the_common_part_is_no_part_of_the_own_direction(problem):
    T, common = problem["R"], torch.ones(OUT, dtype=torch.float64)
    U = torch.randn(OUT, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 5 * common[:, None]
    found = without_own_direction(T, U, common)
    torch.testing.assert_close(common @ found, common @ T)
    own = U - torch.outer(common, common @ U) / OUT
    torch.testing.assert_close((found * own).sum(0), torch.zeros(N, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(without_own_direction(T, U, 0 * common), without_own_direction(T, U))


def test_nothing_to_lose_is_nothing_lost(problem):
    T, zero = problem["R"], torch.zeros(OUT, N, dtype=torch.float64)
    torch.testing.assert_close(without_own_direction(T, zero), T)
    ones = torch.ones(OUT, N, dtype=torch.float64)
    torch.testing.assert_close(without_own_direction(T, ones, ones[:, 0]), T)
