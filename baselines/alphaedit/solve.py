"""AlphaEdit's closed form (Fang et al., AlphaEdit: Null-Space Constrained Knowledge Editing, 2025). Pure algebra.

Shape letters: O out, I in, N facts, P keys of earlier edits. Everything is computed in float64.
"""

import torch

from util.linalg import spd_factor, spd_solve


def solve(
    K_IN: torch.Tensor, R_ON: torch.Tensor, projector_II: torch.Tensor, earlier_IP: torch.Tensor, *, ridge: float
) -> torch.Tensor:
    """The change Δ (O, I) float64 that minimises over all Δ = Δ N

        ‖Δ K − R‖²_F + ‖Δ K_p‖²_F + ridge·‖Δ‖²_F,

    N the orthogonal projector on the directions the corpus leaves alone and K_p the keys of earlier edits. The
    published form is Δᵀ = (N (K Kᵀ + K_p K_pᵀ) + ridge·I)⁻¹ N K Rᵀ. That Δᵀ lies in the range of N, so that with A =
    N [K, K_p] it is (A Aᵀ + ridge·I)⁻¹ N K Rᵀ, and by the push-through identity

        Δ = [R, 0] (Aᵀ A + ridge·I)⁻¹ Aᵀ,

    an (N + P) × (N + P) system in place of an I × I one without symmetry. ridge > 0 makes it regular for any keys.
    """
    A = projector_II.double() @ torch.cat([K_IN.double(), earlier_IP.double()], dim=1)
    gram = A.T @ A + ridge * torch.eye(A.shape[1], dtype=A.dtype, device=A.device)
    R = R_ON.double()
    wanted = torch.cat([R, R.new_zeros(len(R), earlier_IP.shape[1])], dim=1)
    return wanted @ spd_solve(spd_factor(gram, "[K, K_p]ᵀ N [K, K_p] + L2·I", remedy="raise L2 in the hparams"), A.T)
