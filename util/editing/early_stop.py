"""When a second moment has settled. Shape letters: O out, I in."""

import torch

from util.moments import SecondMoment


class EarlyStop:
    """Compares moments each time their documents have doubled.

    They count as settled when doubling the documents moved W C Wᵀ, the corpus's part in the system that an edit
    solves, by no more than `tolerance` (relative, Frobenius) in any module. Doubling is what makes the number honest:
    the step from one block to the next shrinks with the documents seen, whether or not the moment has settled.
    change: the last comparison's largest value; None before the second look.
    """

    def __init__(self, weights: dict[str, torch.Tensor], tolerance: float):
        self.weights, self.tolerance = weights, tolerance
        self.change: float | None = None
        self._seen: dict[str, torch.Tensor] = {}
        self._next = 0

    def settled(self, moments: dict[str, SecondMoment], documents: int) -> bool:
        """Look at the sums after so many documents; whether they will do."""
        if documents < self._next:
            return False
        now = {name: self._system(name, moment) for name, moment in moments.items() if moment.count}
        if self._next and now.keys() == self._seen.keys():
            self.change = max(float((now[name] - self._seen[name]).norm() / now[name].norm()) for name in now)
        self._seen, self._next = now, 2 * documents
        return self.change is not None and self.change <= self.tolerance

    def _system(self, name: str, moment: SecondMoment) -> torch.Tensor:
        W_OI = self.weights[name].double()
        return W_OI @ moment.value().to(W_OI.device) @ W_OI.T
