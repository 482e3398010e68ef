"""Two patches of one base: whether they get in each other's way, and the patch that does what both do."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import nn

from experiments.requests.patches import Origin, Patch, changes_of
from util.errors import UserError
from util.low_rank import NOISE_MARGIN, cosines, input_basis, rounding_noise
from util.weights import weights_hash

CONFLICT = 0.5
"""Share of a change that reads what the other one reads, from which two patches are said to conflict."""


@dataclass(frozen=True)
class Overlap:
    """Two changes of one weight. closest: cosine of the smallest principal angle between the input directions that they
    read. shared: share of a change's squared size that reads input directions of the other, the larger of the two.
    """

    closest: float
    shared: float


@dataclass(frozen=True)
class Conflict:
    """overlaps: of every weight that both patches change."""

    overlaps: Mapping[str, Overlap]

    @property
    def word(self) -> str:
        """``apart``: no weight in common. ``compatible`` or ``conflict``: by CONFLICT, at the worst weight."""
        if not self.overlaps:
            return "apart"
        return "conflict" if max(one.shared for one in self.overlaps.values()) >= CONFLICT else "compatible"


def base_values(model: nn.Module, patches: tuple[Patch, Patch]) -> dict[str, torch.Tensor]:
    """Copies of all weights that a patch changes, of the base of both. UserError where the model is another one."""
    first, second = patches
    if first.origin.base != second.origin.base:
        raise UserError(
            "the two patches have different bases, so that they cannot be added; make the second one from the first "
            "one's base"
        )
    if first.side(model) != "base":
        raise UserError(
            f"the model is not the base of the patches, {first.origin.model_name!r}; name it with --model_name"
        )
    names = dict.fromkeys([*first.changes, *second.changes])
    return {name: model.get_parameter(name).detach().to("cpu", copy=True) for name in names}


def compared(base: Mapping[str, torch.Tensor], patches: tuple[Patch, Patch]) -> Conflict:
    """How far the two read the same input directions, at every matrix that both change."""
    first, second = patches
    common = [name for name in first.changes if name in second.changes and base[name].dim() == 2]
    return Conflict({name: _overlap(*(_change(patch, name, base[name]) for patch in patches)) for name in common})


def _change(patch: Patch, name: str, before: torch.Tensor) -> tuple[torch.Tensor, float]:
    """(the change, float64; the singular value up to which it is rounding)."""
    change = patch.changes[name]
    return change.delta(before), NOISE_MARGIN * rounding_noise(change.apply(before))


def _overlap(first: tuple[torch.Tensor, float], second: tuple[torch.Tensor, float]) -> Overlap:
    bases = input_basis(*first), input_basis(*second)
    angles = cosines(*bases)
    shares = [
        float((change @ other).norm().square() / change.norm().square())
        for (change, _), other in zip((first, second), reversed(bases), strict=True)
    ]
    return Overlap(float(angles[0]) if len(angles) else 0.0, min(1.0, max(shares)))


def composed(model: nn.Module, base: Mapping[str, torch.Tensor], patches: tuple[Patch, Patch]) -> Patch:
    """The patch of W plus both changes, rounded once, for the model, which is their base and is so afterwards."""
    first, second = patches
    parameters = {name: model.get_parameter(name).detach() for name in base}
    try:
        for name, before in base.items():
            total = before.double()
            for patch in patches:
                if name in patch.changes:
                    total = total + patch.changes[name].delta(before)
            parameters[name].copy_(total)
        changes = changes_of(model, base)
        edited = weights_hash(model)
    finally:
        for name, before in base.items():
            parameters[name].copy_(before)
    return Patch(_origin(first.origin, second.origin, edited), changes)


def _origin(first: Origin, second: Origin, edited: str) -> Origin:
    """The facts' hashes stay with the parts, whose salts they have."""
    return Origin(
        base=first.base,
        edited=edited,
        model_name=first.model_name,
        alg_name=f"{first.alg_name} + {second.alg_name}",
        hparams={},
        statistics=None,
        salt="",
        facts=(),
        parts=(asdict(first), asdict(second)),
    )
