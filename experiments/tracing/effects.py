"""Indirect effects averaged over facts, and the layers they speak for.

Shape letters: F facts, P positions, L layers.
"""

from collections.abc import Sequence

import torch

from experiments.tracing.pieces import ATTENTION, MLP, STATE
from experiments.tracing.restoring import Traced
from experiments.tracing.traced_facts import PLACES, SUBJECT_LAST


def mean_effects(found: Sequence[Traced], kind: str) -> dict[str, dict | None]:
    """Place → {"facts": how many have such a token, "effect", "standard_error": per layer}; None where none has.

    The effect is the gain in probability over the blurred runs; a fact's tokens at one place are averaged first.
    """
    gains = [one.restored_PL[kind].double() - one.corrupted for one in found]
    return {place: _mean([_at(place, one, gain) for one, gain in zip(found, gains, strict=True)]) for place in PLACES}


def _at(place: str, one: Traced, gain_PL: torch.Tensor) -> torch.Tensor | None:
    rows = [row for row, position in enumerate(one.positions) if one.fact.place(position) == place]
    return gain_PL[rows].mean(0) if rows else None


def _mean(effects: Sequence[torch.Tensor | None]) -> dict | None:
    present = [effect for effect in effects if effect is not None]
    if not present:
        return None
    effect_FL = torch.stack(present)
    error = effect_FL.std(0, correction=0) / max(1, len(present) - 1) ** 0.5
    return {"facts": len(present), "effect": effect_FL.mean(0).tolist(), "standard_error": error.tolist()}


def how_many_layers(depth: int) -> int:
    """Layers that an edit is spread over: a tenth of the depth, at least 1, at most 3 (as the published settings)."""
    return min(3, max(1, round(depth / 10)))


def suggested_layers(
    effects: dict[str, dict[str, dict | None]], overlap_L: Sequence[float] | None = None
) -> tuple[list[int], str]:
    """The neighbouring layers whose effect at the subject's last token is largest in sum, and the kind it is read from.

    overlap_L: how much of an edit of each layer other subjects feel (see `overlap`). Only neighbours in whose sum it is
    at most 1.5 times the lower quartile are then chosen from: an effect says where a fact can be reached, not what it
    takes along. (On SmolLM2-135M-Instruct layers 0 to 10 are left: 0.2 to 0.4 %, against 0.7 to 1.2 % at 13 to 20.)

    effects: kind → `mean_effects`. The MLPs' are read where they were traced, because an edit changes an MLP; else the
    states', else the attention's.
    """
    kind = next(kind for kind in (MLP, STATE, ATTENTION) if kind in effects)
    read = effects[kind][SUBJECT_LAST]
    assert read is not None, "every fact has a subject"
    effect_L = torch.tensor(read["effect"])
    count = how_many_layers(len(effect_L))
    sums_L = effect_L.unfold(0, count, 1).sum(1)
    if overlap_L is not None:
        felt_L = torch.tensor(overlap_L, dtype=torch.float64).unfold(0, count, 1).sum(1)
        sums_L[felt_L > 1.5 * felt_L.quantile(0.25)] = -torch.inf
    first = int(sums_L.argmax())
    return list(range(first, first + count)), kind
