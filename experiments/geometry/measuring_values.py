"""Other facts' values and the forgotten facts' sensitive directions, layer by layer.

Shape letters: O out, I in, N facts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import torch

from dsets.record import Record
from dsets.splits import draw
from experiments.geometry.shares import alike, removed
from experiments.geometry.subjects import keys_of_all
from experiments.measuring.metrics import all_right
from experiments.measuring.scoring import score
from util.editing.setting import Setting
from util.errors import UserError
from util.invented import about_nobody
from util.modeling import layer_count
from util.progress import progress_bar
from util.request import Request
from util.weights import WeightEdits, read_weight
from zerounlearn import HParams
from zerounlearn.solve import Projector, project

Layers = dict[int, dict]
"""Layer → what is measured there."""


@dataclass(frozen=True)
class Drawn:
    """forget: facts whose sensitive directions are removed. others: facts of other subjects, to be kept. invented: the
    forms of both with subjects that do not exist."""

    forget: list[Request]
    others: list[Request]
    invented: list[Request]

    @classmethod
    def of(cls, records: Sequence[Record], forget: int, others: int, seed: int) -> Self:
        """As evaluate.py draws them. Raises UserError for fewer facts than are asked for."""
        facts = draw(records, forget, others, seed)
        if len(facts.forget) < forget or len(facts.retain) < 2:
            raise UserError(
                f"{len(records)} facts give {len(facts.forget)} to forget and {len(facts.retain)} others; "
                f"{forget} and at least 2 are needed: give smaller --counts or more facts"
            )
        forgotten = [record.request() for record in facts.forget]
        return cls(forgotten, [record.request() for record in facts.retain], about_nobody(forgotten, others, seed))


def measure_layers(
    setting: Setting,
    hparams: HParams,
    drawn: Drawn,
    layers: Iterable[int],
    counts: Sequence[int],
    *,
    search: bool,
    answers: bool,
) -> Layers:
    """What `alike` and `removed` say of each layer.

    search: sensitive directions are the target values that ZeroUnlearn searches for the true answers; else the facts'
    own values W k, which cost no search. Values are W k, without a module's bias, as the projector sees them. answers:
    also how many other facts are ``right`` before, and after each projector alone (`_right_after`). Raises UserError
    for a layer that the model has not.
    """
    layers, count = sorted(set(layers)), layer_count(setting.model)
    if not layers or layers[0] < 0 or layers[-1] >= count:
        raise UserError(f"--layers names a layer outside 0 to {count - 1}")
    names = {layer: hparams.rewrite_module(layer) for layer in layers}
    requests = [*drawn.forget, *drawn.others, *drawn.invented]
    keys = keys_of_all(setting.model, setting.tokenizer, requests, list(names.values()), setting.budget)
    sizes = [len(drawn.forget), len(drawn.others), len(drawn.invented)]
    right = {"right": _right(setting, drawn.others)} if answers else {}
    found: Layers = {}
    for layer, name in progress_bar(names.items(), desc="layers", progress=setting.progress, leave=False):
        W_OI = read_weight(setting.model, name).double()
        forgotten, others, invented = keys[name].double().split(sizes, dim=1)
        U_ON = W_OI @ forgotten
        if search:
            U_ON = setting.targets(hparams, setting.true_answers, layer, "module").values_ON.double()
        shares = removed(U_ON, W_OI @ others, W_OI @ invented, sorted(set(counts)))
        found[layer] = alike(others, W_OI @ others) | right | {"forgotten": shares}
        if answers:
            common_O = (W_OI @ invented).mean(1)
            for some, one in shares.items():
                one |= _right_after(setting, drawn.others, name, U_ON[:, :some], common_O, hparams.epsilon)
    return found


def _right_after(
    setting: Setting, others: Sequence[Request], name: str, U_OU: torch.Tensor, common_O: torch.Tensor, epsilon: float
) -> dict[str, float]:
    """Share of the other facts that are right after each projector, nothing being remapped: ``right_<projector>``."""
    W_OI, found = read_weight(setting.model, name), {}
    for projector in PROJECTORS:
        edits = WeightEdits()
        with edits.undone_on_failure(setting.model):
            edits.write(setting.model, name, project(W_OI, U_OU, epsilon, projector, common_O))
            found[f"right_{projector}"] = _right(setting, others)
        edits.undo(setting.model)
    return found


def _right(setting: Setting, facts: Sequence[Request]) -> float:
    """Share of the facts whose answer is the model's, every token of it."""
    asked = [(fact.text, fact.target_true, fact.answer_prefix) for fact in facts]
    scores = score(setting.model, setting.tokenizer, asked, batch_tokens=setting.budget)
    return sum(all_right(scores[one].correct) for one in asked) / len(asked)


PROJECTORS: tuple[Projector, ...] = ("published", "centred")
"""Those whose effect alone is measured."""

LEGEND = "percent of other facts' energy that is removed (chance; of their mean value; of their energy, once centred)"
"""What a cell of `rows` says."""


def rows(layers: Layers) -> list[list[str]]:
    """A heading, and a row a layer: what is shared, and what is removed with each number of facts."""
    counts = list(next(iter(layers.values()))["forgotten"])
    head = ["layer", "cos keys", "cos values", "common", *(f"{count} facts" for count in counts)]
    return [head] + [
        [
            str(layer),
            *(f"{one[name]:.2f}" for name in ("cosine_of_keys", "cosine_of_values", "common_length")),
            *(_shares(shares) for shares in one["forgotten"].values()),
        ]
        for layer, one in layers.items()
    ]


def _shares(one: dict[str, float]) -> str:
    percent = [round(100 * one[name]) for name in ("others", "chance", "mean", "centred")]
    return "{} ({}; {}; {})".format(*percent)
