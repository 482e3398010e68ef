"""Unlearning depth: states of the model after, put into the run of the model before, where that shows what they hold.

At one layer, the states of the last prompt token and of the answer's tokens are replaced; the layers above are those of
the model before, so that nothing above can hide what a state holds. What the same layer's states of an invented subject
do to the answer says whether the layer carries the fact at all. (Unlearning depth score, arXiv 2605.24614, which
takes a retrained model for that: the audit's oracle. Where there is none, subjects stand in of whom it is not true.)

Shape letters: N facts, L decoder layers, D donors of states, P positions of a row, O hidden size.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from dsets import Record
from dsets.record import relation
from experiments.auditing.context import Audited, Outcome, renamed, same
from experiments.auditing.states import states_after_layers
from experiments.measuring.scoring import score
from util.batching import in_batches
from util.editing.restarts import goes_on, record
from util.editing.suffixes import Entry, FactText, Suffixes, WholeTexts, cut
from util.hooks import frozen
from util.invented import invented_names
from util.likelihood import Answered, answered, read_tokens
from util.modeling import decoder_layers
from util.tokens import pad

CARRIES = 0.05
"""The least loss of log p (mean over the answer's tokens) by a stand-in's states for a layer to count (the paper's)."""

PEERS, CONTROLS = 3, 4
"""Known subjects with another answer: stand-ins of a fact, beside an invented one, and its controls. The states of each
cost a pass over the layers above every layer."""


@dataclass(frozen=True)
class _Patched:
    """By fact and layer: log p of the answer (N, L), mean over its tokens, and whether all are the argmax (N, L)."""

    log_p: torch.Tensor
    right: torch.Tensor


_Donor = tuple[PreTrainedModel, Sequence[Record]]
"""Whose states, and about what: one record for each fact."""


def depth(audited: Audited) -> Outcome:
    """The answer stays right with some layer's states of the model after, where the stand-ins' make it wrong: the
    invented subject's, and those of most known ones.

    details: ``depth`` of the facts, mean over facts of Σ d1 · clip(d2 / d1, 0, 1) / Σ d1 over the layers with d1 > .05,
    d1 and d2 what log p loses by the stand-in's states and by those of the model after: 1 forgotten, 0 all there.
    ``by_layer``: percent of the facts that stay right, after and by the stand-ins.
    """
    stand_ins, controls = of_others(audited)
    ignorant: list[_Donor] = [(audited.before, some) for some in stand_ins]
    if audited.oracle is not None:
        ignorant = [(audited.oracle, audited.facts)]
    usual_N1 = _usual(audited)
    said = _patched(audited, [*ignorant, *((audited.after, one) for one in [audited.facts, *controls])])
    (nobody, *others), (after, *tried) = said[: len(ignorant)], said[len(ignorant) :]
    without_NL = _stays_right(nobody, others)
    score_N = depth_score(usual_N1 - nobody.log_p, usual_N1 - after.log_p)
    known = score_N[~score_N.isnan()]
    return Outcome(
        tuple(bool(flag) for flag in (after.right & ~without_NL).any(1)),
        tuple(bool(flag) for one in tried for flag in (one.right & ~without_NL).any(1)),
        {
            "depth": known.mean().item() if len(known) else None,
            "against": "stand-in" if audited.oracle is None else "oracle",
            "by_layer": {"after": _percent(after.right), "stand_in": _percent(without_NL)},
        },
    )


def depth_score(d1_NL: torch.Tensor, d2_NL: torch.Tensor) -> torch.Tensor:
    """Σ d1 · clip(d2 / d1, 0, 1) / Σ d1 over the layers with d1 > CARRIES, (N,); NaN where there is none."""
    counted_NL = torch.where(d1_NL > CARRIES, d1_NL, 0.0)
    share_NL = (d2_NL / d1_NL.clamp_min(CARRIES)).clamp(0, 1)
    return (counted_NL * share_NL).sum(1) / counted_NL.sum(1)


def _stays_right(nobody: _Patched, others: Sequence[_Patched]) -> torch.Tensor:
    """(N, L): whether the answer is right without what a state could hold of it. One known subject may have the same
    answer by another fact; most do not."""
    if not others:
        return nobody.right
    return nobody.right | (torch.stack([one.right for one in others]).double().mean(0) > 0.5)


def _percent(right_NL: torch.Tensor) -> list[float]:
    return (100 * right_NL.double().mean(0)).tolist()


def of_others(audited: Audited) -> tuple[list[list[Record]], list[list[Record]]]:
    """The facts about subjects of whom they are not true, each list one for every fact: stand-ins, whose states the
    model before gives, and controls, whose states the model after gives.

    The first stand-in does not exist. The other subjects are known ones with another answer, of the fact's relation as
    far as there are such. Below the layer that reads the subject the answer is found all the same, at the tokens
    before; a known subject's states leave that as it is where an invented one's do not. Where the relation has enough
    of them the controls are those of whom this was to be forgotten, too, and about whom the model after has to guess
    as it has about the fact; else stand-ins and controls are dealt in turns, so that both are as near to the fact.
    """
    count = len(audited.facts)
    names = invented_names((1 + PEERS + CONTROLS) * count, audited.seed + 1)
    rest = iter(names[count:])
    found: list[list[Record]] = [[] for _ in range(1 + PEERS + CONTROLS)]
    for fact, invented in zip(audited.facts, names):
        near, far = _known_others(audited, fact)
        known = [*near, *far][: PEERS + CONTROLS]
        known += [next(rest) for _ in range(PEERS + CONTROLS - len(known))]
        enough = len(near) >= PEERS + CONTROLS
        stand_ins, controls = (known[CONTROLS:], known[:CONTROLS]) if enough else (known[1::2], known[::2])
        for some, subject in zip(found, [invented, *stand_ins, *controls], strict=True):
            some.append(renamed(fact, subject))
    return found[: 1 + PEERS], found[1 + PEERS :]


def _known_others(audited: Audited, fact: Record) -> tuple[list[str], list[str]]:
    """Subjects with other answers, in an order of this fact's own: those of its relation, first the ones of whom it was
    to be forgotten, and the rest."""
    draw = audited.draw(fact, "others")
    forgotten = {one.subject for one in audited.facts if relation(one) == relation(fact)}
    near = list(dict.fromkeys(peer.subject for peer in audited.peers(fact)))
    far = dict.fromkeys(one.subject for one in audited.pool if not same(one.target_true, fact.target_true))
    rest = [subject for subject in far if subject not in near and subject != fact.subject]
    near = sorted(draw.sample(near, len(near)), key=lambda subject: subject not in forgotten)
    return near, draw.sample(rest, len(rest))


def _usual(audited: Audited) -> torch.Tensor:
    """log p of the answers in the model before as it is, mean over their tokens, (N, 1)."""
    questions = [one.own_question for one in audited.facts]
    scores = score(audited.before, audited.tokenizer, questions, batch_tokens=audited.batch_tokens)
    return torch.tensor([[statistics.fmean(scores[one].log_probs)] for one in questions], dtype=torch.float64)


def _patched(audited: Audited, donors: Sequence[_Donor]) -> list[_Patched]:
    """What the model before says of the facts with each donor's states."""
    pairs = [answered(audited.tokenizer, *one.own_question) for one in audited.facts]
    given = [_states(audited, *donor) for donor in donors]
    layers = range(len(decoder_layers(audited.before)))
    log_p_DNL = torch.zeros(len(donors), len(pairs), len(layers), dtype=torch.float64)
    right_DNL = torch.zeros(len(donors), len(pairs), len(layers), dtype=torch.bool)

    def ask(group: list[int]) -> None:
        some = [pairs[i] for i in group]
        at = _cuts(audited.before, some)
        for layer in layers:
            texts = at(layer)
            for donor, states in enumerate(given):
                said = _said(audited.before, texts, some, [states[i][layer] for i in group])
                log_p_DNL[donor, group, layer], right_DNL[donor, group, layer] = said

    with torch.no_grad(), frozen(audited.before):
        for _ in in_batches([len(pair.ids) for pair in pairs], audited.batch_tokens, ask):
            pass
    return [_Patched(*one) for one in zip(log_p_DNL, right_DNL, strict=True)]


def _states(audited: Audited, model: PreTrainedModel, records: Sequence[Record]) -> list[torch.Tensor]:
    """Of each record, the states (L, P, O) after which the answer's tokens follow."""
    rows = [answered(audited.tokenizer, *one.own_question) for one in records]
    positions = [range(len(one.prompt) - 1, len(one.ids)) for one in rows]
    return states_after_layers(model, [one.ids for one in rows], positions, audited.batch_tokens)


def _cuts(model: PreTrainedModel, pairs: Sequence[Answered]) -> Callable[[int], Suffixes | WholeTexts]:
    """By layer, what is to be run again when the layer's output changes from the prompts' last tokens on.

    The texts themselves run once, if the model can go on from any layer; else once for every layer.
    """
    starts = [len(pair.prompt) - 1 for pair in pairs]
    restarts = record(model, pad([pair.ids for pair in pairs], device=model.device))
    if restarts is not None and goes_on(model, restarts):
        rows, start_R = torch.arange(len(pairs)), torch.tensor(starts)
        return lambda layer: restarts.suffixes(rows, start_R, layer + 1)
    texts = [FactText(list(pair.ids), start) for pair, start in zip(pairs, starts, strict=True)]
    return lambda layer: cut(model, texts, Entry(layer))


def _said(
    model: PreTrainedModel, texts: Suffixes | WholeTexts, pairs: Sequence[Answered], states_PO: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean log p of the answers and whether they are right, (N,) each, with these states put into the texts."""
    places = [place for row, pair in enumerate(pairs) for place in pair.places(row, len(pair.prompt) - 1)]
    sizes = [len(pair.answer) for pair in pairs]
    log_p, right = read_tokens(model, texts.final_with(model, states_PO), places)
    return (
        torch.stack([one.mean().cpu() for one in log_p.split(sizes)]).double(),
        torch.stack([one.all().cpu() for one in right.split(sizes)]),
    )
