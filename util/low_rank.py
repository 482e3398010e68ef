"""Low-rank forms of the change from one stored matrix to another, the same bits on every machine. Pure algebra.

Shape letters: O rows, I columns of a matrix as it is stored, r rank. Everything is computed in float64.
"""

import math
from dataclasses import dataclass

import torch

GRID_BITS = 30
"""Of a factor's entries, beside the sign."""
HALF_BITS = 15

NOISE_MARGIN = 1.2
"""A singular value counts from so many times the largest that rounding alone is expected to make."""


@dataclass(frozen=True)
class LowRank:
    """scale · W + 2^exponent · L R. left_Or, right_rI: whole numbers, int32, at most 2^30 in size.

    Whole numbers because the product is then exact whatever the order of its sums, so that every machine makes the
    same bits of it: see `product`.
    """

    scale: float
    exponent: int
    left_Or: torch.Tensor
    right_rI: torch.Tensor

    @property
    def rank(self) -> int:
        return self.left_Or.shape[1]

    @property
    def size(self) -> int:
        """Bytes of the factors."""
        return self.left_Or.nbytes + self.right_rI.nbytes

    def product(self) -> torch.Tensor:
        """2^exponent · L R (O, I) float64.

        Each factor is 2^15 · high + low; the four products of halves are sums of at most 2^23 terms below 2^30, hence
        exact in float64, and they are added element by element in one order.
        """
        (a, b), (c, d) = _halves(self.left_Or), _halves(self.right_rI)
        half = 2.0**HALF_BITS
        return (((a @ c) * half + (a @ d + b @ c)) * half + b @ d) * 2.0**self.exponent

    def forward(self, W_OI: torch.Tensor) -> torch.Tensor:
        """scale · W + 2^exponent · L R, float64."""
        return W_OI.double() * self.scale + self.product()

    def backward(self, W_OI: torch.Tensor) -> torch.Tensor:
        """(W − 2^exponent · L R) / scale, float64."""
        return (W_OI.double() - self.product()) / self.scale


def _halves(grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    whole = grid.to(torch.int64)
    high = (whole + (1 << (HALF_BITS - 1))) >> HALF_BITS
    return high.double(), (whole - (high << HALF_BITS)).double()


def on_grid(A: torch.Tensor) -> tuple[torch.Tensor, int]:
    """(whole numbers int32, exponent): the matrix rounded to multiples of 2^exponent, 30 bits at its largest entry."""
    exponent = math.frexp(float(A.abs().max()) if A.numel() else 0.0)[1] - GRID_BITS
    return (A.double() * 2.0**-exponent).round().to(torch.int32), exponent


def rounding_noise(W_OI: torch.Tensor) -> float:
    """Spectral norm to expect of what rounding to W's dtype left out, entries with variances ulp²/12.

    The largest root of a row's sum of them, and that of a column's: σ (√O + √I) where all are alike, more where a row
    of large weights stands out (Bandeira and van Handel 2016, without their logarithmic term).
    """
    exponents = torch.frexp(W_OI.double()).exponent - 1
    ulp_OI = torch.finfo(W_OI.dtype).eps * torch.exp2(exponents.double())
    variance_OI = ulp_OI.square() / 12
    return sum(math.sqrt(float(variance_OI.sum(side).max())) for side in (0, 1))


def low_rank(before_OI: torch.Tensor, after_OI: torch.Tensor) -> LowRank | None:
    """The change between two matrices of one dtype in factors, but for rounding; None where it is not of low rank.

    It is looked for as after − before, and, where that has more than half the full rank, as after − s · before with
    one s for all entries: multiplicative forms may scale the whole weight beside what they do to the facts. The rank is
    the number of singular values above what rounding makes.
    """
    W, changed = before_OI.double(), after_OI.double()
    noise = NOISE_MARGIN * rounding_noise(after_OI)
    most = min(W.shape) // 2
    found = _split(changed - W, noise)
    scale = 1.0
    if found[0].shape[1] > most:
        scale = _common_scale(W, changed)
        if scale == 1.0 or (found := _split(changed - scale * W, noise))[0].shape[1] > most:
            return None
        rest = changed - scale * W - found[0] @ found[1]
        scale += float((rest * W).sum() / W.square().sum())
        found = _split(changed - scale * W, noise)
    (left, left_exponent), (right, right_exponent) = map(on_grid, found)
    return LowRank(scale, left_exponent + right_exponent, left, right)


def _split(D_OI: torch.Tensor, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(O, r) and (r, I), whose product is D but for singular values up to `noise`; both sides are scaled alike."""
    left, singular, right = torch.linalg.svd(D_OI, full_matrices=False)
    kept = singular > noise
    root = singular[kept].sqrt()
    return left[:, kept] * root, root[:, None] * right[kept]


def _common_scale(W: torch.Tensor, changed: torch.Tensor) -> float:
    """The s of changed = (s I + N) W with a matrix N of less than half the full rank; 1 where W has dependent rows.

    N + (s − 1) I = (changed − W) Wᵀ (W Wᵀ)⁻¹ has |s − 1| as most of its singular values, so as their median.
    """
    if W.shape[0] > W.shape[1]:
        W, changed = W.T, changed.T
    factor, info = torch.linalg.cholesky_ex(W @ W.T)
    if info.item():
        return 1.0
    M_OO = torch.cholesky_solve(W @ (changed - W).T, factor).T
    size = float(torch.linalg.svdvals(M_OO).median())
    return 1.0 + math.copysign(size, float(M_OO.diagonal().median()))


def truncated(D_OI: torch.Tensor, rank: int | None) -> tuple[torch.Tensor, torch.Tensor, float]:
    """(O, r), (r, I) float64 and ‖D − product‖_F / ‖D‖_F: the best of that rank, or the exact rank where it is lower.

    The exact rank leaves out singular values below 1e-12 of the largest only.
    """
    left, singular, right = torch.linalg.svd(D_OI.double(), full_matrices=False)
    exact = max(1, int((singular > 1e-12 * singular[0]).sum()))
    kept = min(exact, rank or exact)
    root = singular[:kept].sqrt()
    whole = float(singular.norm())
    error = float(singular[kept:].norm()) / whole if whole else 0.0
    return left[:, :kept] * root, root[:, None] * right[:kept], error


def input_basis(D_OI: torch.Tensor, noise: float) -> torch.Tensor:
    """Orthonormal basis (I, r) of what a change reads: right singular vectors above `noise`."""
    _, singular, right = torch.linalg.svd(D_OI.double(), full_matrices=False)
    return right[singular > noise].T


def cosines(A_Ir: torch.Tensor, B_Is: torch.Tensor) -> torch.Tensor:
    """Cosines of the principal angles between two subspaces given by orthonormal bases, largest first."""
    return torch.linalg.svdvals(A_Ir.T @ B_Is).clamp(max=1.0)
