"""When a second moment has settled. Shape letters: O out, I in, N probe keys."""

from collections.abc import Mapping

import torch

from util.linalg import spd_factor, spd_solve
from util.moments import SecondMoment

PROBES = 64
"""Keys of the corpus, one per document, whose update is watched."""
RIDGE = 1 / 15000
"""λ / a of the published settings."""
JITTER = 1e-10
"""Share of M's mean diagonal added to it, so that a W with dependent rows gives no singular system."""


class EarlyStop:
    """Compares, each time their documents have doubled, the updates that moments would cause.

    To first order in b, ZeroUnlearn's closed form writes a residual r at a key k by ΔW = b r sᵀ W, with s = M⁻¹ W k and
    M = W (a C + λ I) Wᵀ. For residuals of any direction the relative change of ΔW is therefore that of Sᵀ W (N, I), in
    the Frobenius norm. Moments count as settled when doubling the documents moved it by no more than `tolerance` in any
    module. The change of C itself, or of W C Wᵀ, says little: few large directions (the first token's) rule its norm,
    the inverse hangs on the small ones. Doubling is what makes the number honest: the step from one block to the next
    shrinks with the documents seen, whether or not the moment has settled.

    weights: module → W (O, I); keys: module → keys of corpus tokens (I, N), which stand for those of facts.
    change: the last comparison's largest value; None before the second look.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], keys: Mapping[str, torch.Tensor], tolerance: float):
        self.weights, self.keys, self.tolerance = weights, keys, tolerance
        self.change: float | None = None
        self._seen: dict[str, torch.Tensor] = {}
        self._next = 0

    def settled(self, moments: Mapping[str, SecondMoment], documents: int) -> bool:
        """Look at the sums after so many documents; whether they will do."""
        if documents < self._next:
            return False
        now = {name: self._update(name, moment) for name, moment in moments.items() if moment.count}
        if self._next and now.keys() == self._seen.keys():
            self.change = max(float((now[name] - self._seen[name]).norm() / now[name].norm()) for name in now)
        self._seen, self._next = now, 2 * documents
        return self.change is not None and self.change <= self.tolerance

    def _update(self, name: str, moment: SecondMoment) -> torch.Tensor:
        """Sᵀ W (N, I) float64."""
        W_OI = self.weights[name].double()
        M_OO = (W_OI @ moment.value().to(W_OI.device)) @ W_OI.T + RIDGE * W_OI @ W_OI.T
        M_OO.diagonal().add_(JITTER * M_OO.diagonal().mean())
        Y_ON = W_OI @ self.keys[name].to(W_OI)
        return spd_solve(spd_factor(M_OO, f"W C Wᵀ of {name}", remedy="leave --mom2_tolerance out"), Y_ON).T @ W_OI
