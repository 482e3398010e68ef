"""ZeroUnlearn-Local's closed form: an additive change that protects keys of its own choice. Pure algebra.

Lineage: the weighted least squares of MEMIT (Meng et al. 2023, eq. 14), whose corpus term gets company from keys that
are named one by one; the orthogonality to the representation that carried the answer is ZeroUnlearn's, asked for at
the forgotten facts' keys alone.

Shape letters: O out, I in, N facts, M protected keys. Everything is computed in float64.
"""

import torch

from util.linalg import spd_factor, spd_solve

ROUNDING = 1e-6
"""Of a float32 value's length: less than that is no direction, but what rounding has left."""


def solve(
    K_IN: torch.Tensor, R_ON: torch.Tensor, P_IM: torch.Tensor, factor_II: torch.Tensor, *, a: float, kappa: float
) -> torch.Tensor:
    """ΔW (O, I) float64, the minimiser of

        a·E‖ΔW k‖² + κ (N/M) Σ_m ‖ΔW p_m‖² + ‖ΔW K − R‖²_F,

    which is ΔW = R Kᵀ (a C + κ (N/M) P Pᵀ + K Kᵀ)⁻¹. With L = [K, √(κN/M) P] and S = (a C)⁻¹ L Woodbury leaves one
    system of size N + M:  ΔW = R · the first N rows of (I + Lᵀ S)⁻¹ Sᵀ. Where that is no smaller than I, the system of
    size I is solved as it stands, which costs less and does not suffer from a C of bad condition.

    factor_II: Cholesky factor of C. P may have no columns; κ = 0 or M = 0 is MEMIT. κ → ∞ leaves W p_m as it is, as far
    as K is not made of protected keys. N/M makes κ the weight of one protected key on average per fact.
    """
    count, protected = K_IN.shape[1], P_IM.shape[1]
    share = (kappa * count / protected) ** 0.5 if protected else 0.0
    L = torch.cat([K_IN.double(), share * P_IM.double()], dim=1)
    if L.shape[1] >= L.shape[0]:
        whole = a * factor_II.double() @ factor_II.double().T + L @ L.T
        return R_ON.double() @ spd_solve(spd_factor(whole, "a C + κ (N/M) P Pᵀ + K Kᵀ"), K_IN).T
    S = spd_solve(factor_II, L) / a
    inner = spd_factor(torch.eye(L.shape[1], dtype=L.dtype, device=L.device) + L.T @ S, "I + Lᵀ (a C)⁻¹ L")
    return R_ON.double() @ spd_solve(inner, S.T)[:count]


def without_own_direction(T_ON: torch.Tensor, U_ON: torch.Tensor, common_O: torch.Tensor | None = None) -> torch.Tensor:
    """The targets T (O, N), each orthogonal to its own fact's sensitive value: T_i − û_i û_iᵀ T_i, û_i = u_i / ‖u_i‖.

    common_O: a direction that u_i loses first (the mean of other subjects' values, say), because it is no part of what
    carried the answer and taking it away hurts what shares it; the result keeps its part of T. A u_i of zero, or all of
    it common, leaves T_i alone.
    """
    T, U = T_ON.double(), U_ON.double()
    if common_O is not None and common_O.norm() > 0:
        common = common_O.double() / common_O.double().norm()
        U = U - torch.outer(common, common @ U)
    norm_N = U.norm(dim=0)
    usable_N = norm_N > ROUNDING * U_ON.double().norm(dim=0)
    unit_ON = torch.where(usable_N, U / torch.where(usable_N, norm_N, 1), torch.zeros_like(U))
    return T - unit_ON * (unit_ON * T).sum(0)
