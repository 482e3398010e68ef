"""ZeroUnlearn-GD's algebra in float64 on small odd sizes (O ≠ I ≠ N)."""

from dataclasses import replace

import pytest
import torch

from util.linalg import orthonormal_basis
from zerounlearn.gd.solve import Problem, solve_adam, solve_exact


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(o=5, i=9, n=3, u=2, rank=4, **weights):
    """(problem, projector of that rank, its basis E (I, rank), K)."""
    E = torch.linalg.qr(random(i, i, seed=4)).Q[:, :rank]
    K = random(i, n, seed=1)
    weights = {"sensitive": 1.0, "target": 100.0, "ridge": 0.1} | weights
    Q = orthonormal_basis(random(o, u, seed=3))
    return (
        Problem(V_ON=random(o, n, seed=5), NK_IN=E @ E.T @ K, R_ON=random(o, n, seed=2), Q_Or=Q, **weights),
        E @ E.T,
        E,
        K,
    )


def published(problem, projector, K, delta):
    """The objective written out, with Δ N K formed."""
    X = delta @ projector
    sensitive = (problem.Q_Or.T @ (problem.V_ON + X @ K)).square().sum()
    target = (problem.V_ON + X @ K - (problem.V_ON + problem.R_ON)).square().sum()
    return problem.sensitive * sensitive + problem.target * target + problem.ridge * X.square().sum()


def automatic_gradient(problem, projector, K, delta):
    delta = delta.detach().requires_grad_(True)
    return torch.autograd.grad(published(problem, projector, K, delta), delta)[0]


SHAPES = {
    "usual": {},
    "one fact": {"n": 1, "u": 1},
    "more facts than inputs": {"n": 13},
    "no sensitive direction": {"u": 0},
    "all directions sensitive": {"u": 5},
    "whole space": {"rank": 9},
    "other weights": {"sensitive": 3.0, "target": 0.5, "ridge": 2.0},
    "no target": {"target": 0.0},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_written_gradient_and_objective_are_those_of_the_published_form(shape):
    problem, projector, _, K = make(**shape)
    delta = random(5, 9, seed=6)
    torch.testing.assert_close(problem.gradient(delta, projector), automatic_gradient(problem, projector, K, delta))
    assert problem.objective(delta @ projector) == pytest.approx(float(published(problem, projector, K, delta)))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_exact_minimiser_has_a_zero_gradient_and_nothing_else_has(shape):
    problem, projector, _, K = make(**shape)
    X = solve_exact(problem)
    assert X.dtype == torch.float64 and X.abs().max() > 1e-4
    assert (X @ projector - X).abs().max() < 1e-12
    start = automatic_gradient(problem, projector, K, 0 * X).abs().max()
    assert automatic_gradient(problem, projector, K, X).abs().max() < 1e-11 * start
    elsewhere = X + 1e-2 * random(5, 9, seed=6) @ projector
    assert automatic_gradient(problem, projector, K, elsewhere).abs().max() > 1e-6 * start
    assert problem.objective(elsewhere) > problem.objective(X)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_least_squares_is_an_independent_oracle(shape):
    """X = F Eᵀ with F free: one long least-squares problem in the entries of F, which knows nothing of X = Z (N K)ᵀ."""
    problem, _, E, K = make(**shape)
    A, eye = (E.T @ K).T.contiguous(), torch.eye(5, dtype=torch.float64)
    s, t, r = problem.sensitive**0.5, problem.target**0.5, problem.ridge**0.5
    left = torch.cat(
        [
            s * torch.kron(A, problem.Q_Or.T.contiguous()),
            t * torch.kron(A, eye),
            r * torch.eye(5 * E.shape[1], dtype=torch.float64),
        ]
    )
    wanted = [-s * problem.Q_Or.T @ problem.V_ON, t * problem.R_ON]
    right = torch.cat([*(block.T.reshape(-1) for block in wanted), torch.zeros(5 * E.shape[1], dtype=torch.float64)])
    F = torch.linalg.lstsq(left, right[:, None]).solution.view(E.shape[1], 5).T
    assert (solve_exact(problem) - F @ E.T).abs().max() < 1e-9


def test_adam_takes_the_published_path():
    problem, projector, _, K = make()
    delta = torch.zeros(5, 9, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=1e-3)
    for _ in range(40):
        adam.zero_grad()
        published(problem, projector, K, delta).backward()
        adam.step()
    X = solve_adam(problem, projector, lr=1e-3, steps=40)
    assert (X - delta.detach() @ projector).abs().max() < 1e-9


def test_adam_descends_to_the_exact_minimum_and_not_below():
    problem, projector, _, _ = make()
    least = problem.objective(solve_exact(problem))
    values = [problem.objective(solve_adam(problem, projector, lr=1e-2, steps=steps)) for steps in (1, 100, 5000)]
    assert problem.objective(torch.zeros(5, 9, dtype=torch.float64)) > values[0] > values[1] > values[2] >= least
    assert values[2] == pytest.approx(least, rel=1e-4)


def test_duplicate_facts_count_twice():
    problem, _, _, _ = make()
    doubled = [torch.cat([X, X], 1) for X in (problem.V_ON, problem.NK_IN, problem.R_ON)]
    twice = replace(problem, V_ON=doubled[0], NK_IN=doubled[1], R_ON=doubled[2])
    heavier = replace(problem, sensitive=2 * problem.sensitive, target=2 * problem.target)
    assert (solve_exact(twice) - solve_exact(heavier)).abs().max() < 1e-9


def test_keys_outside_the_null_space_cannot_be_edited():
    problem, projector, _, _ = make()
    blocked = replace(problem, NK_IN=0 * problem.NK_IN)
    assert solve_exact(blocked).abs().max() == 0
    assert solve_adam(blocked, projector, lr=1e-3, steps=5).abs().max() == 0
