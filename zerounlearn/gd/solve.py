"""ZeroUnlearn-GD's quadratic, its published Adam path and its exact minimiser. Pure algebra.

Shape letters: O out, I in, N facts, r rank of the sensitive directions. Everything is computed in float64.
"""

from dataclasses import dataclass

import torch

from util.linalg import spd_factor, spd_solve


@dataclass(frozen=True)
class Problem:
    """Over X = Δ N, with N the orthogonal projector on the directions the corpus leaves alone, minimise

        sensitive ‖Qᵀ (V + X K)‖²_F  +  target ‖X K − R‖²_F  +  ridge ‖X‖²_F.

    V_ON: W K, the values before the edit. NK_IN: N K; since N is idempotent X K = Δ (N K), so that Δ N is never needed
    for it. R_ON: residual to be made. Q_Or: orthonormal basis of the sensitive directions (r may be 0). All float64.
    """

    V_ON: torch.Tensor
    NK_IN: torch.Tensor
    R_ON: torch.Tensor
    Q_Or: torch.Tensor
    sensitive: float
    target: float
    ridge: float

    def objective(self, X_OI: torch.Tensor) -> float:
        """The value at X = Δ N."""
        made_ON = X_OI @ self.NK_IN
        sensitive = (self.Q_Or.T @ (self.V_ON + made_ON)).square().sum()
        target = (made_ON - self.R_ON).square().sum()
        return float(self.sensitive * sensitive + self.target * target + self.ridge * X_OI.square().sum())

    def gradient(self, delta_OI: torch.Tensor, projector_II: torch.Tensor) -> torch.Tensor:
        """The gradient with respect to Δ (O, I)."""
        made_ON = delta_OI @ self.NK_IN
        pull_ON = self.sensitive * self.Q_Or @ (self.Q_Or.T @ (self.V_ON + made_ON)) + self.target * (
            made_ON - self.R_ON
        )
        return 2 * (pull_ON @ self.NK_IN.T + self.ridge * delta_OI @ projector_II)


def solve_adam(problem: Problem, projector_II: torch.Tensor, *, lr: float, steps: int) -> torch.Tensor:
    """X = Δ N (O, I) after `steps` steps of Adam(lr, β 0.9/0.999, eps 1e-8) on Δ, from zero.

    Adam moves every coordinate by about lr a step whatever the gradient's size, so that it may stop far from the
    minimum; where it stops is part of the published method. The gradient is written out: it is what automatic
    differentiation gives, without keeping a graph.
    """
    delta_OI = problem.R_ON.new_zeros(len(problem.R_ON), len(projector_II))
    adam = torch.optim.Adam([delta_OI], lr=lr)
    for _ in range(steps):
        delta_OI.grad = problem.gradient(delta_OI, projector_II)
        adam.step()
    return delta_OI.detach() @ projector_II


def solve_exact(problem: Problem) -> torch.Tensor:
    """The minimiser X (O, I); unique for ridge > 0, although Δ is not.

    A zero gradient with respect to Δ makes X = Z (N K)ᵀ. With the Gram matrix G = (N K)ᵀ (N K) and s, t, λ the three
    weights, what is left is t (Z G − R) + λ Z + s Q Qᵀ (V + Z G) = 0, which falls apart into the parts of Z inside and
    outside span(Q):

        Qᵀ Z = Qᵀ (t R − s V) ((s + t) G + λ I)⁻¹,   (I − Q Qᵀ) Z = (I − Q Qᵀ) t R (t G + λ I)⁻¹.

    Two N × N systems, for any N, also with duplicate facts and with keys of which the projector leaves nothing.
    """
    s, t, R, Q = problem.sensitive, problem.target, problem.R_ON, problem.Q_Or
    G_NN = problem.NK_IN.T @ problem.NK_IN
    ridge_NN = problem.ridge * torch.eye(len(G_NN), dtype=G_NN.dtype, device=G_NN.device)

    def right_divided(X_N: torch.Tensor, weight: float) -> torch.Tensor:
        what, remedy = "Gram matrix of the projected keys + ridge", "raise regularization_lam in the hparams"
        return spd_solve(spd_factor(weight * G_NN + ridge_NN, what, remedy=remedy), X_N.T).T

    outside_ON = right_divided(t * (R - Q @ (Q.T @ R)), t)
    inside_rN = right_divided(Q.T @ (t * R - s * problem.V_ON), s + t)
    return (outside_ON + Q @ inside_rN) @ problem.NK_IN.T
