"""Unlearning depth: states of the model after, put into the run of the model before, where that shows what they hold.

At one layer, the states of the last prompt token and of the answer's tokens are replaced; the layers above are those of
the model before, so that nothing above can hide what a state holds. What the same layer's states of an invented subject
do to the answer says whether the layer carries the fact at all. (Unlearning depth score, arXiv 2605.24614, which
takes a retrained model for that: the audit's oracle. Where there is none, a subject that nobody knows stands in.)

Shape letters: N facts, L decoder layers, P positions of a row, O hidden size.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from dsets import Record
from experiments.auditing.context import Audited, Outcome, renamed
from experiments.auditing.states import states_after_layers
from experiments.measuring.scoring import score
from util.forward import final_hidden
from util.hooks import by_row, frozen, patch
from util.invented import invented_names
from util.likelihood import Answered, answered, read_tokens
from util.modeling import decoder_layers
from util.tokens import pad

CARRIES = 0.05
"""The least loss of log p (mean over the answer's tokens) by a stand-in's states for a layer to count (the paper's)."""

MOST_CONTROLS = 4
"""Controls of a fact that are tried: each costs a pass for every layer."""


@dataclass(frozen=True)
class _Patched:
    """By fact and layer: log p of the answer (N, L), mean over its tokens, and whether all are the argmax (N, L)."""

    log_p: torch.Tensor
    right: torch.Tensor


def depth(audited: Audited) -> Outcome:
    """The answer stays right with some layer's states of the model after, where a stand-in's states make it wrong.

    details: ``depth`` of the facts, mean over facts of Σ d1 · clip(d2 / d1, 0, 1) / Σ d1 over the layers with d1 > .05,
    d1 and d2 what log p loses by the stand-in's states and by those of the model after: 1 forgotten, 0 all there.
    ``by_layer``: percent of the facts that stay right, after and by the stand-in.
    """
    facts, count = audited.facts, len(audited.facts)
    usual_N1, nobody = _usual(audited), _nobody(audited)
    after = _patched(audited, audited.after, facts)
    rounds = min(MOST_CONTROLS, len(audited.controls) // count)
    tried = [_patched(audited, audited.after, audited.controls[i * count : (i + 1) * count]) for i in range(rounds)]
    controls = [bool(flag) for one in tried for flag in (one.right & ~nobody.right).any(1)]
    score_N = depth_score(usual_N1 - nobody.log_p, usual_N1 - after.log_p)
    known = score_N[~score_N.isnan()]
    return Outcome(
        tuple(bool(flag) for flag in (after.right & ~nobody.right).any(1)),
        tuple(controls),
        {
            "depth": known.mean().item() if len(known) else None,
            "against": "stand-in" if audited.oracle is None else "oracle",
            "by_layer": {"after": _percent(after.right), "stand_in": _percent(nobody.right)},
        },
    )


def depth_score(d1_NL: torch.Tensor, d2_NL: torch.Tensor) -> torch.Tensor:
    """Σ d1 · clip(d2 / d1, 0, 1) / Σ d1 over the layers with d1 > CARRIES, (N,); NaN where there is none."""
    counted_NL = torch.where(d1_NL > CARRIES, d1_NL, 0.0)
    share_NL = (d2_NL / d1_NL.clamp_min(CARRIES)).clamp(0, 1)
    return (counted_NL * share_NL).sum(1) / counted_NL.sum(1)


def _percent(right_NL: torch.Tensor) -> list[float]:
    return (100 * right_NL.double().mean(0)).tolist()


def _nobody(audited: Audited) -> _Patched:
    """The same with states that hold nothing of the facts: the oracle's, or those of subjects that do not exist."""
    if audited.oracle is not None:
        return _patched(audited, audited.oracle, audited.facts)
    names = invented_names(len(audited.facts), audited.seed + 1)
    stand_ins = [renamed(record, name) for record, name in zip(audited.facts, names, strict=True)]
    return _patched(audited, audited.before, stand_ins)


def _usual(audited: Audited) -> torch.Tensor:
    """log p of the answers in the model before as it is, mean over their tokens, (N, 1)."""
    questions = [one.own_question for one in audited.facts]
    scores = score(audited.before, audited.tokenizer, questions, batch_tokens=audited.batch_tokens)
    return torch.tensor([[statistics.fmean(scores[one].log_probs)] for one in questions], dtype=torch.float64)


def _patched(audited: Audited, donor: PreTrainedModel, sources: Sequence[Record]) -> _Patched:
    """What the model before says of the facts with the donor's states about the sources, one for each fact."""
    pairs = [answered(audited.tokenizer, *one.own_question) for one in audited.facts]
    given = [answered(audited.tokenizer, *one.own_question) for one in sources]
    states = states_after_layers(
        donor, [one.ids for one in given], [_reads(one) for one in given], audited.batch_tokens
    )
    layers = decoder_layers(audited.before)
    log_p, right = [], []
    for layer, part in enumerate(layers):
        log_p_N, right_N = _replaced(audited.before, part, pairs, [one[layer] for one in states])
        log_p.append(log_p_N)
        right.append(right_N)
    return _Patched(torch.stack(log_p, 1), torch.stack(right, 1))


def _reads(pair: Answered) -> range:
    """The positions after which the answer's tokens follow."""
    return range(len(pair.prompt) - 1, len(pair.ids))


def _replaced(
    model: PreTrainedModel, layer: torch.nn.Module, pairs: Sequence[Answered], states_PO: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean log p of the answers and whether they are right, (N,) each, with the layer's output replaced there."""

    def change(hidden: torch.Tensor) -> torch.Tensor:
        changed = by_row(hidden, len(pairs)).clone()
        for row, (pair, state) in enumerate(zip(pairs, states_PO, strict=True)):
            changed[row, list(_reads(pair))] = state.to(changed.device, changed.dtype)
        return changed.view(hidden.shape)

    with torch.no_grad(), frozen(model), patch(layer, change):
        hidden = final_hidden(model, pad([pair.ids for pair in pairs], device=model.device))
    places = [pair.places(row) for row, pair in enumerate(pairs)]
    with torch.no_grad():
        log_p, right = read_tokens(model, hidden, [place for some in places for place in some])
    sizes = [len(some) for some in places]
    return (
        torch.stack([one.mean().cpu() for one in log_p.split(sizes)]).double(),
        torch.stack([one.all().cpu() for one in right.split(sizes)]),
    )
