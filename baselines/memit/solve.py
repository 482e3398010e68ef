"""MEMIT's closed form (Meng et al., Mass-Editing Memory in a Transformer, 2023, eq. 14). Pure algebra.

Shape letters: O out, I in, N facts. Everything is computed in float64.
"""

import torch

from util.linalg import spd_factor, spd_solve


def solve(K_IN: torch.Tensor, R_ON: torch.Tensor, factor_II: torch.Tensor, *, a: float) -> torch.Tensor:
    """The change Δ (O, I) float64 that minimises over all O × I matrices

        ‖Δ K − R‖²_F + a·E‖Δ k‖²,

    which is Δ = R Kᵀ (a C + K Kᵀ)⁻¹. By Woodbury only an N × N system is solved per request:

        Δ = R (I_N + Kᵀ S)⁻¹ Sᵀ,   S = (a C)⁻¹ K.

    factor_II: Cholesky factor of C; it serves every request and every a. The form holds for any N, also above I, for
    duplicate and zero columns.

    The released code solves the I × I system anew for every batch of facts, in float64 as here.
    """
    K, R = K_IN.double(), R_ON.double()
    S_IN = spd_solve(factor_II, K) / a
    inner_NN = spd_factor(torch.eye(K.shape[1], dtype=K.dtype, device=K.device) + K.T @ S_IN, "I + Kᵀ (a C)⁻¹ K")
    return R @ spd_solve(inner_NN, S_IN.T)
