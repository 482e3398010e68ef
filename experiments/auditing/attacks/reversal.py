"""Undo an edit from the weights alone: drop the singular directions that a low-rank edit has left in them.

(Arad-like reversal of rank-one edits: arXiv 2505.20819.) Only modules that differ between the models are touched.

Shape letters: O out, I in, R singular directions.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from experiments.auditing.attacks.asking import prompts_right
from experiments.auditing.changed_weights import changed_matrices
from experiments.auditing.context import Audited, Outcome
from util.weights import WeightEdits, read_weight

DROPPED = (1, 2, 4, 8, 16)
"""How many directions are dropped, one model after the other."""

Less = Callable[[int], torch.Tensor]
"""Number of directions to drop → the matrix W_OI without them."""


def without_directions(W_OI: torch.Tensor, top: bool) -> Less:
    """The matrix less so many of its largest (or smallest) singular directions, float64; they are found once."""
    left, singular, right = torch.linalg.svd(W_OI.double(), full_matrices=False)

    def less(count: int) -> torch.Tensor:
        kept = singular.clone()
        if top:
            kept[:count] = 0
        else:
            kept[max(0, len(kept) - count) :] = 0
        return left * kept @ right

    return less


def drop_from_weights(top: bool) -> Callable[[Audited], Outcome]:
    """An attack: the edited weights less their largest (or smallest) singular directions."""

    def attack(audited: Audited) -> Outcome:
        return _try(audited, lambda name: without_directions(read_weight(audited.after, name), top))

    return attack


def drop_from_update(audited: Audited) -> Outcome:
    """The update W_after − W_before less its largest singular directions.

    It takes the weights before, so that what comes back says how few directions hide the facts and is no evidence
    against the model after: with every direction of the update dropped the model before is back.
    """

    def change(name: str) -> Less:
        new = read_weight(audited.after, name)
        old = read_weight(audited.before, name).to(new.device).double()
        update = without_directions(new.double() - old, top=True)
        return lambda count: old + update(count)

    return _try(audited, change)


def _try(audited: Audited, change: Callable[[str], Less]) -> Outcome:
    """Right after any number of dropped directions; the details hold the share by that number. change: of a module."""
    names = changed_matrices(audited.before, audited.after)
    with torch.no_grad():
        changes = {name: change(name) for name in names}
    got: list[bool] = [False] * len(audited.records)
    curve: dict[str, list] = {"dropped": list(DROPPED), "facts": [], "controls": []}
    for count in DROPPED:
        with torch.no_grad(), _changed(audited.after, {name: less(count) for name, less in changes.items()}):
            flags = [bool(flag) for flag in prompts_right(audited, audited.after)]
        got = [old or new for old, new in zip(got, flags, strict=True)]
        split = len(audited.facts)
        curve["facts"].append(100 * sum(flags[:split]) / split)
        curve["controls"].append(100 * sum(flags[split:]) / len(audited.controls))
    return audited.outcome(got, curve=curve, modules=names)


@contextmanager
def _changed(model: PreTrainedModel, new: dict[str, torch.Tensor]) -> Iterator[None]:
    edits = WeightEdits()
    try:
        for name, W_OI in new.items():
            edits.write(model, name, W_OI)
        yield
    finally:
        edits.undo(model)
