"""How one parameter was changed, in a form that turns either side into the other bit by bit.

Shape letters: O rows, I columns as stored, r rank.
"""

from dataclasses import dataclass
from typing import Any

import torch

from util.bits import added, difference
from util.low_rank import LowRank, low_rank

DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (torch.float32, torch.bfloat16, torch.float16)}
DTYPES["float64"] = torch.float64


@dataclass(frozen=True)
class WeightChange:
    """shape, dtype: of the parameter. factors: the change but for rounding, None where it has no low rank.

    forward, backward: packed differences in bits (`util.bits`). With factors, from what they make of the old value to
    the new one, and from what they make of the new value to the old one; without, `forward` leads from the old to the
    new value, either way, and there is no `backward`.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    factors: LowRank | None
    forward: torch.Tensor
    backward: torch.Tensor | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        sides = self.forward.nbytes + (self.backward.nbytes if self.backward is not None else 0)
        return sides + (self.factors.size if self.factors else 0)

    def apply(self, before: torch.Tensor) -> torch.Tensor:
        """The new value, on the CPU."""
        if self.factors is None:
            return added(before.cpu(), self.forward)
        return added(self.factors.forward(before.cpu()).to(self.dtype), self.forward)

    def revert(self, after: torch.Tensor) -> torch.Tensor:
        """The old value, on the CPU."""
        if self.factors is None or self.backward is None:
            return added(after.cpu(), self.forward, sign=-1)
        return added(self.factors.backward(after.cpu()).to(self.dtype), self.backward)

    def delta(self, before: torch.Tensor) -> torch.Tensor:
        """The change of a value before, float64; of the factors where there are some, which rounding has no part in."""
        before = before.cpu()
        after = self.factors.forward(before) if self.factors else self.apply(before).double()
        return after - before.double()

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a file holds of it beside `described`."""
        held = {"forward": self.forward}
        if self.factors is not None and self.backward is not None:
            held |= {"backward": self.backward, "left": self.factors.left_Or, "right": self.factors.right_rI}
        return held

    def described(self) -> dict[str, Any]:
        """The rest of it, for a header."""
        about: dict[str, Any] = {"shape": list(self.shape), "dtype": str(self.dtype).removeprefix("torch.")}
        if self.factors is None:
            return about | {"form": "dense"}
        factors = self.factors
        return about | {
            "form": "low rank",
            "rank": factors.rank,
            "scale": factors.scale,
            "exponent": factors.exponent,
        }

    @classmethod
    def of(cls, described: dict[str, Any], tensors: dict[str, torch.Tensor]) -> "WeightChange":
        """The inverse of the two. KeyError, TypeError or ValueError where they do not belong together."""
        shape, dtype = tuple(described["shape"]), DTYPES[described["dtype"]]
        if described["form"] == "dense":
            return cls(shape, dtype, None, tensors["forward"])
        left, right = tensors["left"], tensors["right"]
        if (left.shape, right.shape) != ((shape[0], described["rank"]), (described["rank"], shape[1])):
            raise ValueError(f"factors of {tuple(left.shape)} and {tuple(right.shape)} for a weight of {shape}")
        factors = LowRank(float(described["scale"]), int(described["exponent"]), left, right)
        return cls(shape, dtype, factors, tensors["forward"], tensors["backward"])


def change_between(before: torch.Tensor, after: torch.Tensor) -> WeightChange:
    """The change in the smaller of its two forms: factors and two corrections, or the packed difference alone."""
    before, after = before.detach().cpu(), after.detach().cpu()
    shape, dtype = tuple(before.shape), before.dtype
    dense = WeightChange(shape, dtype, None, difference(before, after))
    factors = low_rank(before, after) if before.dim() == 2 else None
    if factors is None:
        return dense
    forward = difference(factors.forward(before).to(dtype), after)
    backward = difference(factors.backward(after).to(dtype), before)
    thin = WeightChange(shape, dtype, factors, forward, backward)
    return thin if thin.size < dense.size else dense
