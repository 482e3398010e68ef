"""ZeroUnlearn's algebra in float64 on small odd sizes (O ≠ I ≠ N)."""

import pytest
import torch

from tests.memory import Peak
from util.errors import UserError
from util.linalg import orthonormal_basis
from zerounlearn.solve import factor_utility, project, sensitive_basis, solve, solve_direct

A, B, RIDGE, EPSILON = 7.0, 3.0, 0.4, 0.01


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(o=5, i=9, n=3, u=2, tokens=40):
    """W, K, R, U, C of a random layer, C from `tokens` keys."""
    keys = random(i, tokens, seed=4)
    return random(o, i), random(i, n, seed=1), random(o, n, seed=2), random(o, u, seed=3), keys @ keys.T / tokens


def cheap(W, K, R, U, C, **changes):
    options = {"b": B, "epsilon": EPSILON, "projector": "published"} | changes
    return solve(W, K, R, U, factor_utility(W, C, A, RIDGE), **options)


def direct(W, K, R, U, C, **changes):
    options = {"a": A, "b": B, "ridge": RIDGE, "epsilon": EPSILON, "projector": "published"} | changes
    return solve_direct(W, K, R, U, C, **options)


def objective(D, W, K, R, C):
    """a·E‖DWk − Wk‖² + b·‖DWK − (WK + R)‖² + λ·‖DW − W‖², the expectation through C."""
    change = D @ W - W
    return A * (change @ C @ change.T).trace() + B * (change @ K - R).square().sum() + RIDGE * change.square().sum()


SHAPES = {
    "usual": {},
    "one fact": {"n": 1, "u": 1},
    "more facts than rows": {"n": 13, "u": 13},
    "singular C": {"tokens": 4},
    "no sensitive direction": {"u": 0},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("projector", ["published", "identity_preserving", "centred", "none"])
def test_cheap_and_direct_forms_agree(shape, projector):
    parts = problem(**shape)
    options = {"projector": projector, "common_O": random(5, seed=6)}
    new, reference = cheap(*parts, **options), direct(*parts, **options)
    assert (new - reference).abs().max() < 1e-9
    assert new.dtype == torch.float64 and (new - parts[0]).abs().max() > 1e-3


def test_the_direct_form_is_the_published_formula():
    W, K, R, U, C = problem()
    B_OO = W @ (A * C + B * K @ K.T + RIDGE * torch.eye(len(C), dtype=C.dtype)) @ W.T
    A_OO = (A * W @ C + B * (W @ K + R) @ K.T + RIDGE * W) @ W.T
    expected = A_OO @ torch.linalg.inv(B_OO) @ W
    assert (direct(W, K, R, U, C, projector="none") - expected).abs().max() < 1e-9


def test_neither_form_makes_a_matrix_as_large_as_the_second_moment():
    W, K, R, U, C = problem(o=3, i=400)
    for form in (cheap, direct):
        with Peak() as peak:
            form(W, K, R, U, C)
        assert peak.most < C.nbytes / 4


def test_duplicate_facts():
    W, K, R, U, C = problem()
    doubled = [torch.cat([X, X], 1) for X in (K, R, U)]
    assert (cheap(W, *doubled, C) - direct(W, *doubled, C)).abs().max() < 1e-9
    assert (cheap(W, *doubled, C) - cheap(W, K, R, U, C, b=2 * B)).abs().max() < 1e-9


def test_the_gradient_is_zero_at_the_minimum_and_only_there():
    W, K, R, U, C = problem()
    D = torch.linalg.lstsq(W.T, cheap(W, K, R, U, C, projector="none").T).solution.T.requires_grad_(True)
    (gradient,) = torch.autograd.grad(objective(D, W, K, R, C), D)
    assert gradient.abs().max() < 1e-9
    elsewhere = (D + 1e-3 * random(5, 5)).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(objective(elsewhere, W, K, R, C), elsewhere)
    assert gradient.abs().max() > 1e-3


def test_least_squares_is_an_independent_oracle():
    """The objective is ‖D X − Y‖² over stacked columns; lstsq knows nothing of normal equations or Woodbury."""
    W, K, R, U, C = problem()
    root = torch.linalg.cholesky(C)
    X = torch.cat([A**0.5 * W @ root, B**0.5 * W @ K, RIDGE**0.5 * W], 1)
    Y = torch.cat([A**0.5 * W @ root, B**0.5 * (W @ K + R), RIDGE**0.5 * W], 1)
    D = torch.linalg.lstsq(X.T, Y.T).solution.T
    torch.testing.assert_close(cheap(W, K, R, U, C, projector="none"), D @ W)


def test_nothing_to_change_leaves_the_projection_alone():
    W, K, R, U, C = problem()
    still = cheap(W, K, torch.zeros_like(R), U, C)
    torch.testing.assert_close(still, project(W, U, EPSILON, "published"))
    torch.testing.assert_close(cheap(W, K, 0 * R, U, C, projector="none"), W)


def test_a_zero_key_asks_for_nothing():
    W, K, R, U, C = problem()
    K[:, 1] = 0
    keep = [0, 2]
    torch.testing.assert_close(cheap(W, K, R, U, C), cheap(W, K[:, keep], R[:, keep], U, C))


def test_more_weight_on_the_facts_fits_them_better():
    W, K, R, U, C = problem()
    misfit = [(cheap(W, K, R, U, C, b=b, projector="none") @ K - W @ K - R).norm() for b in (0.1, 10, 1e6)]
    assert misfit[0] > misfit[1] > misfit[2] and misfit[2] < 0.01 * R.norm()


@pytest.mark.parametrize("projector", ["published", "identity_preserving"])
def test_the_projector_leaves_epsilon_of_the_sensitive_directions(projector):
    W, _, _, U, _ = problem()
    projected = project(W, U, EPSILON, projector)
    torch.testing.assert_close(U.T @ projected, EPSILON * (U.T @ W))
    assert (U.T @ W).norm() > 1


def test_what_the_two_projectors_do_to_the_rest():
    W, _, _, U, _ = problem()
    Q = orthonormal_basis(U)
    rest = torch.eye(5, dtype=torch.float64) - Q @ Q.T
    torch.testing.assert_close(rest @ project(W, U, EPSILON, "published"), (1 + EPSILON) * rest @ W)
    torch.testing.assert_close(rest @ project(W, U, EPSILON, "identity_preserving"), rest @ W)


def test_the_centred_projector_keeps_what_is_common_and_epsilon_of_the_centred_directions():
    W, _, _, U, _ = problem()
    common = random(5, seed=6)
    projected = project(W, U, EPSILON, "centred", common)
    beside = U - torch.outer(common, common @ U) / common.square().sum()
    torch.testing.assert_close(common @ projected, common @ W)
    torch.testing.assert_close(beside.T @ projected, EPSILON * (beside.T @ W))
    rest = torch.linalg.svd(torch.cat([beside, common[:, None]], 1)).U[:, 3:]
    torch.testing.assert_close(rest.T @ projected, rest.T @ W)
    assert (common @ project(W, U, EPSILON, "identity_preserving") - common @ W).norm() > 0.1


def test_what_is_common_counts_by_its_direction():
    W, _, _, U, _ = problem()
    common = random(5, seed=6)
    once = project(W, U, EPSILON, "centred", common)
    torch.testing.assert_close(project(W, U, EPSILON, "centred", -7e5 * common), once)
    within = U @ random(2, seed=7)
    assert sensitive_basis(U, "centred", within).shape == (5, 1) and sensitive_basis(U, "centred", common).shape[1] == 2


@pytest.mark.parametrize("common", ["zero", "orthogonal"])
def test_centred_is_identity_preserving_where_nothing_is_common(common):
    W, _, _, U, _ = problem()
    aside = torch.linalg.svd(U).U[:, 4]
    found = project(W, U, EPSILON, "centred", aside if common == "orthogonal" else 0 * aside)
    torch.testing.assert_close(found, project(W, U, EPSILON, "identity_preserving"))


def test_a_sensitive_direction_that_all_facts_share_is_left_alone():
    W, _, _, U, _ = problem(u=1)
    torch.testing.assert_close(project(W, U, EPSILON, "centred", 3 * U[:, 0]), W)


def test_independent_facts_as_many_as_rows_leave_epsilon_of_everything():
    W, _, _, _, _ = problem()
    torch.testing.assert_close(project(W, random(5, 8, seed=9), EPSILON, "published"), EPSILON * W)


def test_dependent_sensitive_directions_count_once():
    W, _, _, U, _ = problem()
    torch.testing.assert_close(
        project(W, torch.cat([U, U.sum(1, keepdim=True)], 1), EPSILON, "published"), project(W, U, EPSILON, "published")
    )


def test_orthogonal_change_of_basis_carries_over():
    W, K, R, U, C = problem()
    rotation = orthonormal_basis(random(5, 5, seed=8))
    turned = cheap(rotation @ W, K, rotation @ R, rotation @ U, C)
    torch.testing.assert_close(turned, rotation @ cheap(W, K, R, U, C))


def test_dependent_rows_of_the_weight_are_reported():
    W, K, R, U, C = problem()
    W[4] = W[0]
    with pytest.raises(UserError, match="not positive definite"):
        cheap(W, K, R, U, C)


def test_unknown_projector():
    with pytest.raises(ValueError, match="projector"):
        project(random(3, 4), random(3, 1), EPSILON, "sideways")
    with pytest.raises(ValueError, match="takes common_O"):
        project(random(3, 4), random(3, 1), EPSILON, "centred")
