"""Linear algebra of the closed forms, in float64.

Shape letters: O rows of a square system, U directions, r their rank.
"""

import torch

from util.errors import UserError

BISECTIONS = 100


def spd_factor(
    A_OO: torch.Tensor, what: str = "matrix", *, ridge: float = 0.0, remedy: str = "check the hparams' weights"
) -> torch.Tensor:
    """Lower Cholesky factor (float64) of A + ridge · mean(diag A) · I for a symmetric positive semidefinite A.

    The matrix is symmetrised first, which removes rounding only. Raises UserError naming `what` when the sum is not
    positive definite or not finite: a singular system is reported, with the `remedy` that the caller knows, not hidden
    behind a pseudo-inverse. Takes one copy of the matrix beside the result: at d_in = 14336 each is 1.6 GB.
    """
    if not torch.isfinite(A_OO).all():
        raise UserError(f"{what} holds values that are not finite; check the statistics and the model's weights")
    A = A_OO.to(torch.float64, copy=True)
    _symmetrise_lower(A)
    if ridge:
        A.diagonal().add_(ridge * A.diagonal().mean())
    factor, info = torch.linalg.cholesky_ex(A)
    if info.item() != 0:
        raise UserError(f"{what} is not positive definite (leading minor {info.item()} of {len(A)}); {remedy}")
    return factor


def _symmetrise_lower(A_OO: torch.Tensor, rows: int = 1024) -> None:
    """(A + Aᵀ) / 2 in the lower triangle, all that a Cholesky factorisation reads, in place."""
    for start in range(0, len(A_OO), rows):
        end = min(start + rows, len(A_OO))
        mirrored = A_OO[:end, start:end].T.clone()
        A_OO[start:end, :end].add_(mirrored).div_(2)


def spd_solve(factor_OO: torch.Tensor, B_ON: torch.Tensor) -> torch.Tensor:
    """A⁻¹ B in float64, given the Cholesky factor of A."""
    return torch.cholesky_solve(B_ON.double(), factor_OO)


def orthonormal_basis(U_OU: torch.Tensor, rtol: float = 1e-6, scale: float | None = None) -> torch.Tensor:
    """Q (O, r) float64 with QᵀQ = I and span(Q) = span(U).

    Directions whose singular value is at most `rtol` × `scale` (the largest, unless given) are dropped, so duplicate
    and dependent columns count once; an all-zero U gives r = 0.
    """
    left, singular, _ = torch.linalg.svd(U_OU.double(), full_matrices=False)
    if singular.numel() == 0 or singular[0] == 0:
        return left[:, :0]
    return left[:, singular > rtol * (singular[0] if scale is None else scale)]


def basis_beside(U_OU: torch.Tensor, common_O: torch.Tensor) -> torch.Tensor:
    """Q (O, r) float64, an orthonormal basis of the columns of U once each is made orthogonal to `common`.

    span(Q) = {u − c cᵀ u / ‖c‖² : u in span(U)}, so that Qᵀ c = 0. A zero `common` leaves span(U); where it lies in
    span(U), the rank falls by one.
    """
    Q_Or, common = orthonormal_basis(U_OU), common_O.double()
    if not common.any():
        return Q_Or
    unit = common / common.norm()
    return orthonormal_basis(Q_Or - torch.outer(unit, unit @ Q_Or), scale=1.0)


def energy_inside(V_ON: torch.Tensor, Q_Or: torch.Tensor) -> torch.Tensor:
    """‖Qᵀ v‖² / ‖v‖² of each column, (N,) float64: the share of its energy inside span(Q). 0 for a zero column."""
    V = V_ON.double()
    whole_N = V.square().sum(0)
    return (Q_Or.T @ V).square().sum(0) / torch.where(whole_N > 0, whole_N, 1)


def mean_cosine(V_ON: torch.Tensor) -> float:
    """Mean cosine of two different columns; columns of zeros do not count. NaN for fewer than two others."""
    norm_N = V_ON.double().norm(dim=0)
    unit_ON = V_ON.double()[:, norm_N > 0] / norm_N[norm_N > 0]
    count = unit_ON.shape[1]
    if count < 2:
        return float("nan")
    return ((unit_ON.sum(1).square().sum() - count) / (count * (count - 1))).item()


def nearest_on_sphere(gain_O: torch.Tensor, wanted_ON: torch.Tensor) -> torch.Tensor:
    """The columns u (O, N) float64 of root mean square 1 that minimise ‖gain · u − wanted‖.

    Stationary points have (gain² + μ) u = gain · wanted; the minimum is the one with μ > −min gain², where ‖u‖ falls as
    μ grows, so that bisection finds it. Where no such μ is left (a gain of zero) u is scaled to its length.
    """
    gain_O1, wanted_ON = gain_O.double()[:, None], wanted_ON.double()
    pulled_ON, length = gain_O1 * wanted_ON, len(gain_O1) ** 0.5

    def at(mu_N: torch.Tensor) -> torch.Tensor:
        return pulled_ON / (gain_O1.square() + mu_N)

    high_N = pulled_ON.norm(dim=0) / length
    low_N = torch.zeros_like(high_N) - gain_O1.square().min()
    for _ in range(BISECTIONS):
        middle_N = (low_N + high_N) / 2
        long_N = at(middle_N).norm(dim=0) > length
        low_N, high_N = torch.where(long_N, middle_N, low_N), torch.where(long_N, high_N, middle_N)
    found_ON = at(high_N)
    return found_ON * length / found_ON.norm(dim=0)


def null_space_projector(C_II: torch.Tensor, threshold: float, relative: bool = False) -> torch.Tensor:
    """Orthogonal projector (I, I) float64 on the eigenvectors of C whose eigenvalue is at most the threshold.

    relative: the threshold is a share of C's largest eigenvalue. Raises UserError when no eigenvalue qualifies, since
    the edit would then be zero.
    """
    eigenvalues, vectors = torch.linalg.eigh(C_II.double())
    limit = threshold * eigenvalues[-1] if relative else threshold
    kept = vectors[:, : int((eigenvalues <= limit).sum())]  # ascending, so a view: the matrix is not copied
    if kept.shape[1] == 0:
        raise UserError(
            f"no eigenvalue of the second moment is at or below nullspace_threshold = {float(limit):.3g} (smallest "
            f"{float(eigenvalues[0]):.3g}, largest {float(eigenvalues[-1]):.3g}); "
            "raise nullspace_threshold or make it relative"
        )
    return kept @ kept.T
