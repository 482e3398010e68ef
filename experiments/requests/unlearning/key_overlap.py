"""How much of an edit at some keys lands on others, told from the keys alone. Pure.

Shape letters: I in, N forgotten facts, M other facts.
"""

import torch

from util.linalg import spd_solve


def key_overlap(K_IN: torch.Tensor, P_IM: torch.Tensor, factor_II: torch.Tensor | None = None) -> torch.Tensor:
    """The largest |cosine| of each other key with a forgotten one, (M,) float64, from 0 to 1.

    factor_II: Cholesky factor of the corpus's second moment C; the cosine is then the one in which the closed forms
    spread an edit, kᵀ C⁻¹ p / √(kᵀ C⁻¹ k · pᵀ C⁻¹ p). None: the plain cosine of the keys less the other keys' mean, a
    coarser measure that needs no statistics. Zero keys overlap with nothing.
    """
    K, P = K_IN.double(), P_IM.double()
    if not K.shape[1] or not P.shape[1]:
        return torch.zeros(P.shape[1], dtype=torch.float64)
    if factor_II is None:
        mean_I1 = P.mean(1, keepdim=True)
        K, P = K - mean_I1, P - mean_I1
        SK, SP = K, P
    else:
        SK, SP = spd_solve(factor_II, K), spd_solve(factor_II, P)
    lengths_NM = (K * SK).sum(0).clamp_min(0).sqrt()[:, None] * (P * SP).sum(0).clamp_min(0).sqrt()[None, :]
    cosine_NM = (K.T @ SP).abs() / lengths_NM.clamp_min(torch.finfo(torch.float64).tiny)
    return cosine_NM.amax(0).clamp_max(1)
