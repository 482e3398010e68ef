"""ZeroUnlearn's closed form (the multiplicative update W ← D W of the ZeroUnlearn paper). Pure algebra.

Shape letters: O out, I in, N facts, U sensitive directions, r their rank. Everything is computed in float64.
"""

from typing import Literal

import torch

from util.linalg import basis_beside, orthonormal_basis, spd_factor, spd_solve

Projector = Literal["published", "identity_preserving", "centred", "none"]

REMEDY = "raise regularization_lam in the hparams, or edit a module whose rows are independent"


def factor_utility(W_OI: torch.Tensor, C_II: torch.Tensor, a: float, ridge: float) -> torch.Tensor:
    """Cholesky factor (O, O) of M = W (a C + λ I) Wᵀ, the part of the system no request changes.

    Raises UserError when M is singular, which for λ > 0 means that W has dependent rows.
    """
    W = W_OI.double()
    return spd_factor(a * (W @ C_II.double()) @ W.T + ridge * W @ W.T, "M = W (a C + λ I) Wᵀ", remedy=REMEDY)


def solve(
    W_OI: torch.Tensor,
    K_IN: torch.Tensor,
    R_ON: torch.Tensor,
    U_OU: torch.Tensor,
    factor_OO: torch.Tensor,
    *,
    b: float,
    epsilon: float,
    projector: Projector = "published",
    common_O: torch.Tensor | None = None,
) -> torch.Tensor:
    """New weight D W (O, I) float64, where D = P D* and D* minimises over all O × O matrices

        a·E‖D W k − W k‖² + b·‖D W K − (W K + R)‖²_F + λ·‖D W − W‖²_F.

    With B = M + b Y Yᵀ and Y = W K the normal equations give D* = I + b R Yᵀ B⁻¹ (the expectation over the corpus
    enters through C, with E[v kᵀ] = W C). Woodbury turns Yᵀ B⁻¹ into an N × N system:

        D* = I + b R (I_N + b Yᵀ S)⁻¹ Sᵀ,   S = M⁻¹ Y.

    factor_OO: from `factor_utility`, for the same W, a, λ. The form holds for any N, also above O, for duplicate and
    zero columns. common_O: for ``centred``. See `project` for P.
    """
    W, R = W_OI.double(), R_ON.double()
    Y_ON = W @ K_IN.double()
    S_ON = spd_solve(factor_OO, Y_ON)
    inner_NN = spd_factor(
        torch.eye(Y_ON.shape[1], dtype=W.dtype, device=W.device) + b * Y_ON.T @ S_ON, "I + b Yᵀ M⁻¹ Y"
    )
    return project(W + b * R @ spd_solve(inner_NN, S_ON.T @ W), U_OU, epsilon, projector, common_O)


def solve_direct(
    W_OI: torch.Tensor,
    K_IN: torch.Tensor,
    R_ON: torch.Tensor,
    U_OU: torch.Tensor,
    C_II: torch.Tensor,
    *,
    a: float,
    b: float,
    ridge: float,
    epsilon: float,
    projector: Projector = "published",
    common_O: torch.Tensor | None = None,
) -> torch.Tensor:
    """The same D W as `solve`, written as published: D = P A B⁻¹ with

    B = W (a C + b K Kᵀ + λ I) Wᵀ,   A = (a W C + b (V + R) Kᵀ + λ W) Wᵀ,   V = W K.

    It factors an O × O system per request, the reference that the cheap form is tested against and its stand-in
    (hparam ``solver: "direct"``). The bracket of B is not formed, for it is I × I: with the corpus's part
    S = a W C + λ W of both, B = (S + b V Kᵀ) Wᵀ and A = (S + b (V + R) Kᵀ) Wᵀ.
    """
    W, K = W_OI.double(), K_IN.double()
    V_ON, S_OI = W @ K, a * (W @ C_II.double()) + ridge * W
    B_OO = (S_OI + b * V_ON @ K.T) @ W.T
    A_OO = (S_OI + b * (V_ON + R_ON.double()) @ K.T) @ W.T
    D_OO = spd_solve(spd_factor(B_OO, "B = W (a C + b K Kᵀ + λ I) Wᵀ", remedy=REMEDY), A_OO.T).T
    return project(D_OO @ W, U_OU, epsilon, projector, common_O)


def project(
    X_OI: torch.Tensor,
    U_OU: torch.Tensor,
    epsilon: float,
    projector: Projector,
    common_O: torch.Tensor | None = None,
) -> torch.Tensor:
    """P X, with Q an orthonormal basis of span(U); P is never formed.

    ``published``: P = (1 + ε) I − Q Qᵀ. It leaves ε of what lies in span(U), and it also scales everything else by
    1 + ε, for every input: the module's output grows by ε wherever it does not point to a sensitive direction, and no
    weight of the objective can counteract it, because P stands outside the minimum. ``identity_preserving``:
    P = I − (1 − ε) Q Qᵀ, which likewise leaves ε of span(U) and touches nothing else. ``centred``: the same with the
    basis of U after its columns are made orthogonal to `common`, the mean of other subjects' values, so that
    P common = common. ``none``: P = I (the paper's ablation). Each P removes rank(Q) of O dimensions for every input,
    not for the facts alone; with N ≥ O independent facts it removes them all (``centred``: all but `common`).
    """
    X = X_OI.double()
    Q_Or = sensitive_basis(U_OU, projector, common_O)
    inside_OI = Q_Or @ (Q_Or.T @ X)
    if projector == "published":
        return (1 + epsilon) * X - inside_OI
    return X - (1 - epsilon) * inside_OI


def sensitive_basis(U_OU: torch.Tensor, projector: Projector, common_O: torch.Tensor | None = None) -> torch.Tensor:
    """Q (O, r) float64, the orthonormal basis of what a projector removes; r = 0 for ``none``.

    Raises ValueError for an unknown projector, and for ``centred`` without `common`.
    """
    if projector == "none":
        return U_OU.double()[:, :0]
    if projector in ("published", "identity_preserving"):
        return orthonormal_basis(U_OU)
    if projector == "centred" and common_O is not None:
        return basis_beside(U_OU, common_O)
    raise ValueError(
        f"projector {projector!r}: 'published', 'identity_preserving', 'none', or 'centred', which takes common_O"
    )
