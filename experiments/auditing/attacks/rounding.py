"""Round the weights: a small edit falls below the steps of a coarse grid, and the old weight comes back.

(Zhang et al., arXiv 2410.16454.) Round-to-nearest of every linear weight in the decoder layers, taken back bit by bit.

Shape letters: O out, I in, G groups, S numbers in a group.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from experiments.auditing.attacks.asking import prompts_right
from experiments.auditing.changed_weights import layer_matrices
from experiments.auditing.context import Audited, Outcome
from util.weights import WeightEdits, read_weight

NF4 = (
    *(-1.0, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0),
    *(0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0),
)
"""Quantiles of the normal distribution as QLoRA uses them (Dettmers et al., arXiv 2305.14314, appendix E)."""

Rounding = Callable[[torch.Tensor], torch.Tensor]
"""Groups of weights (G, S) float32 → the same, rounded."""


def to_integers(bits: int) -> Rounding:
    """Round to nearest on a symmetric grid: −(2^(bits−1) − 1) … 2^(bits−1) − 1, in steps of max |w| by group."""
    most = 2 ** (bits - 1) - 1

    def rounding(groups_GS: torch.Tensor) -> torch.Tensor:
        step_G1 = groups_GS.abs().amax(1, keepdim=True) / most
        return (groups_GS / step_G1.clamp_min(torch.finfo(torch.float32).tiny)).round().clamp(-most, most) * step_G1

    return rounding


def to_normal_floats(groups_GS: torch.Tensor) -> torch.Tensor:
    """Round to the nearest of NF4's sixteen values, scaled by max |w| of the group."""
    levels = torch.tensor(NF4, device=groups_GS.device)
    scale_G1 = groups_GS.abs().amax(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    middles = (levels[1:] + levels[:-1]) / 2
    return levels[torch.bucketize((groups_GS / scale_G1).contiguous(), middles)] * scale_G1


def rounded(W_OI: torch.Tensor, rounding: Rounding, group: int | None) -> torch.Tensor:
    """The matrix rounded in groups of so many numbers of a row (None: a row), the last one smaller; float32."""
    parts = W_OI.float().split(group or W_OI.shape[1], dim=1)
    return torch.cat([rounding(part) for part in parts], dim=1)


@contextmanager
def rounded_weights(model: PreTrainedModel, rounding: Rounding, group: int | None) -> Iterator[None]:
    """All linear weights of the decoder layers rounded within the block, and bit by bit as before after it."""
    edits = WeightEdits()
    try:
        for name in layer_matrices(model):
            edits.write(model, name, rounded(read_weight(model, name), rounding, group))
        yield
    finally:
        edits.undo(model)


def rounding_to(rounding: Rounding, group: int | None) -> Callable[[Audited], Outcome]:
    """An attack: the prompts, asked of the rounded model."""

    def attack(audited: Audited) -> Outcome:
        with torch.no_grad(), rounded_weights(audited.after, rounding, group):
            return audited.outcome(prompts_right(audited, audited.after))

    return attack
