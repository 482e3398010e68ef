"""Rows of a sweep's table: the methods as they are, or one method with something changed (the paper's ablations)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import get_args

from util.errors import UserError
from util.hparams import HParams, LayerHParams, Target, TargetHParams

SIZES = (10, 50, 100, 200, 500, 1000)
TARGETS = ("<EOS>", "I don't know.", "Hello.")
MOST_LAYERS = 3


@dataclass(frozen=True)
class Variant:
    """A method with some hparams and flags changed; label: its row's name."""

    label: str
    alg_name: str
    hparams: dict[str, object] = field(default_factory=dict)
    flags: dict[str, object] = field(default_factory=dict)

    def changed(self, hparams: HParams) -> HParams:
        """The hparams with the changes, validated anew."""
        return type(hparams)(**hparams.model_dump() | self.hparams)


def plain(names: Sequence[str]) -> list[Variant]:
    """The methods as they are."""
    return [Variant(name, name) for name in names]


def ablation(name: str, hparams: HParams) -> list[Variant]:
    """The method; without projection; with one that keeps the rest as it is; without utility term; on fewer layers."""
    if not isinstance(hparams, LayerHParams) or not {"projector", "wiki_KKT_lam"} <= set(type(hparams).model_fields):
        raise UserError(f"--preset ablation changes ZeroUnlearn's projection and utility term; {name} has neither")
    parts = [
        Variant(name, name),
        Variant("without projection", name, {"projector": "none"}),
        Variant("identity-preserving projection", name, {"projector": "identity_preserving"}),
        Variant("without utility term", name, {"wiki_KKT_lam": 0}),
    ]
    return parts + [
        Variant(f"last {count} layer{'s' if count > 1 else ''}", name, flags={"edit_layer_nums": count})
        for count in range(1, min(MOST_LAYERS, len(hparams.layers) - 1) + 1)
    ]


def targets(name: str, _hparams: HParams) -> list[Variant]:
    """The method with each neutral target."""
    return [Variant(f"{name} to {target}", name, flags={"neutral_target": target}) for target in TARGETS]


CHOSEN_IGNORANCE = {"target_scale": 1.3, "invented_subjects": 8}
"""What ignorance takes where a method's hparams search: docs/local.md, "Chosen by what the weights give away"."""


def searches(name: str, hparams: HParams) -> list[Variant]:
    """The method with targets that are searched for, and with each kind that is not."""
    if not isinstance(hparams, TargetHParams):
        raise UserError(f"--preset searches: {name} has no targets to search for")
    more = {} if hparams.target == "ignorance" else {"ignorance": CHOSEN_IGNORANCE}
    return [Variant(f"{name}, {kind}", name, {"target": kind} | more.get(kind, {})) for kind in get_args(Target)]


def sizes(name: str, _hparams: HParams) -> list[Variant]:
    """The method with each number of facts."""
    return [Variant(name, name, flags={"unlearn_num": size}) for size in SIZES]


def layers(name: str, hparams: HParams) -> list[Variant]:
    """The method on the last one, two, three of its layers."""
    if not isinstance(hparams, LayerHParams):
        raise UserError(f"--preset layers: {name} edits no layers")
    return [
        Variant(f"{name}, last {count}", name, flags={"edit_layer_nums": count})
        for count in range(1, min(MOST_LAYERS, len(hparams.layers)) + 1)
    ]


PRESETS: dict[str, Callable[[str, HParams], list[Variant]]] = {
    "ablation": ablation,
    "targets": targets,
    "searches": searches,
    "sizes": sizes,
    "layers": layers,
}
"""What ``--preset`` may name."""
