"""Teach the model something else for a few steps, and see whether the forgotten facts come back by themselves.

What a model still holds comes back fast and where it was not taught; what is gone does not.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from dsets import Record
from dsets.record import relation
from experiments.auditing.attacks.asking import IRRELEVANT
from experiments.auditing.changed_weights import layer_matrices
from experiments.auditing.context import Audited, NotPossible, Outcome, renamed, same
from experiments.auditing.lessons import Lesson, ask_while_learning, gradients, other_halves, rows
from util.hooks import frozen
from util.likelihood import Answered
from util.tokens import encode
from util.weights import WeightEdits

STEPS = (1, 5, 20, 50)
"""Steps after which the facts are asked."""

RATE, ROWS = 2e-5, 16
"""Adam's learning rate, and texts of one step."""


MOST_CONTROLS = 2
"""Controls of a fact that are taught other facts about their subjects: each round of them takes a model of its own."""


def on_other_half(audited: Audited) -> Outcome:
    """Each half of the facts is taught and the other one asked, so that every fact is asked untaught.

    Controls are asked in a model that was taught other controls' answers, as a model that never knew would be.
    """
    return _relearn(audited, other_halves(audited))


def on_unrelated_text(audited: Audited) -> Outcome:
    """Text about nothing is taught, and facts and controls are asked in the same model."""
    return _relearn(audited, [Lesson(unrelated_texts(audited), tuple(range(len(audited.records))))])


def unrelated_texts(audited: Audited) -> tuple[Answered, ...]:
    """A text about nothing, whole, half and a third of it: all but its first token is learnt."""
    ids = encode(audited.tokenizer, IRRELEVANT)
    lengths = (len(ids) - 1, len(ids) // 2, len(ids) // 3)
    return tuple(Answered((ids[0],), tuple(ids[1 : 1 + length])) for length in lengths)


def on_same_subjects(audited: Audited) -> Outcome:
    """Other facts of the file about the same subjects are taught: of other relations, and with other answers.

    Controls are asked in a model that was taught the same about their subjects. A fact whose subject the file says
    nothing else of is not tried.
    """
    others = [_others(audited, record) for record in audited.facts]
    if not any(others):
        raise NotPossible("the file has no other facts about the same subjects")
    count = len(audited.facts)
    tried = [place for place, some in enumerate(others) if some]
    lessons = [Lesson(rows(audited, _once(others)), tuple(tried))]
    for start in range(0, min(MOST_CONTROLS * count, len(audited.controls)), count):
        controls = audited.controls[start : start + count]
        told = [[renamed(one, control.subject) for one in some] for control, some in zip(controls, others)]
        asked = tuple(count + start + place for place in tried if place < len(controls))
        lessons.append(Lesson(rows(audited, _once(told)), asked))
    return _relearn(audited, lessons)


def _others(audited: Audited, fact: Record) -> list[Record]:
    """What else the file says of a fact's subject: nothing that is asked of it, and no answer that is asked for.

    Where a wrong answer is asked for, the file's own record of the same relation has another one: taught, it would
    drive the guess away that is to be counted.
    """
    asked = [record for record in audited.facts if record.subject == fact.subject]
    relations = {relation(record) for record in asked}
    others = (record for record in audited.pool if record.subject == fact.subject and relation(record) not in relations)
    return [other for other in others if not any(same(other.target_true, record.target_true) for record in asked)]


def _once(some: Sequence[Sequence[Record]]) -> list[Record]:
    """All of them, each fact once."""
    return list({record.fact: record for records in some for record in records}.values())


def _relearn(audited: Audited, lessons: Sequence[Lesson]) -> Outcome:
    return ask_while_learning(audited, lessons, lambda lesson: _learnt(audited.after, lesson, audited.batch_tokens))


def _learnt(model: PreTrainedModel, lesson: Sequence[Answered], batch_tokens: int) -> Generator[int, None, None]:
    """Numbers of steps, the model taught while it waits: none, then each of STEPS; at the end it is as before.

    Steps are made in float32 and then rounded to the weights' own type, in which most of them would be nothing.
    NotPossible where the weights leave the finite numbers.
    """
    with _taught(model) as weights:
        exact = [weight.detach().to(torch.float32, copy=True) for weight in weights]
        optimiser = torch.optim.Adam(exact, lr=RATE)
        yield 0
        for step in range(max(STEPS)):
            batch = [lesson[(step * ROWS + i) % len(lesson)] for i in range(min(ROWS, len(lesson)))]
            for one, gradient in zip(exact, gradients(model, batch, weights, batch_tokens), strict=True):
                one.grad = gradient
            optimiser.step()
            optimiser.zero_grad()
            with torch.no_grad():
                for weight, one in zip(weights, exact, strict=True):
                    weight.copy_(one)
            if step + 1 in STEPS:
                if not all(weight.isfinite().all() for weight in weights):
                    raise NotPossible(f"taught in {model.dtype}, the weights leave the finite numbers")
                yield step + 1


@contextmanager
def _taught(model: PreTrainedModel) -> Iterator[list[torch.nn.Parameter]]:
    """Gradients for the decoder layers' matrices alone, whose values come back at the end."""
    edits, names = WeightEdits(), layer_matrices(model)
    for name in names:
        edits.remember(model, name)
    weights = [model.get_parameter(f"{name}.weight") for name in names]
    with frozen(model):
        try:
            for weight in weights:
                weight.requires_grad_(True)
            yield weights
        finally:
            for weight in weights:
                weight.requires_grad_(False)
            edits.undo(model)
