"""ROME's closed form (Meng et al., Locating and Editing Factual Associations in GPT, 2022, eq. 2). Pure algebra.

Shape letters: O out, I in. Everything is computed in float64.
"""

import torch

from util.errors import UserError
from util.linalg import spd_solve


def solve(
    mean_key_I: torch.Tensor, key_I: torch.Tensor, residual_O: torch.Tensor, factor_II: torch.Tensor | None
) -> torch.Tensor:
    """The rank-one change Δ = r uᵀ (O, I) float64 with Δ k = residual, and u = C⁻¹ k̄ / ‖C⁻¹ k̄‖.

    Where k̄ = k this is the minimiser of E‖Δ k′‖² over the corpus's keys k′, subject to Δ k = residual. mean_key_I:
    k̄, the mean over the context templates. key_I: k of the plain prompt. residual_O: v* − W k, both of the plain
    prompt. factor_II: Cholesky factor of C, or None to leave C⁻¹ out. r = residual / (kᵀ u).

    Raises UserError when k is orthogonal to u, so that no multiple of u moves the module's output at k.
    """
    mean, key = mean_key_I.double(), key_I.double()
    direction = mean if factor_II is None else spd_solve(factor_II, mean[:, None])[:, 0]
    norm = direction.norm()
    u_I = direction / norm if norm > 0 else direction
    along = key @ u_I
    if along.abs() <= torch.finfo(u_I.dtype).eps * key.norm():
        raise UserError(
            "ROME's direction u is orthogonal to the fact's key; use other context_templates or another layer"
        )
    return torch.outer(residual_O.double() / along, u_I)
