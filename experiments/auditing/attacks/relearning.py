"""Teach the model something else for a few steps, and see whether the forgotten facts come back by themselves.

What a model still holds comes back fast and where it was not taught; what is gone does not.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from dsets import Record
from experiments.auditing.attacks.asking import IRRELEVANT
from experiments.auditing.changed_weights import layer_matrices
from experiments.auditing.context import Audited, NotPossible, Outcome, renamed, same
from experiments.auditing.lessons import Lesson, ask_while_learning, other_halves, rows
from util.hooks import frozen
from util.likelihood import Answered, answer_log_likelihoods
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
    """Other facts of the file about the same subjects are taught, those whose answer is another.

    Controls are asked in a model that was taught the same about their subjects.
    """
    others = [_others(audited, record) for record in audited.facts]
    if not any(others):
        raise NotPossible("the file has no other facts about the same subjects")
    count = len(audited.facts)
    lessons = [Lesson(rows(audited, _once(others)), tuple(range(count)))]
    for start in range(0, min(MOST_CONTROLS * count, len(audited.controls)), count):
        controls = audited.controls[start : start + count]
        told = [[renamed(one, control.subject) for one in some] for control, some in zip(controls, others, strict=True)]
        lessons.append(Lesson(rows(audited, _once(told)), tuple(range(count + start, 2 * count + start))))
    return _relearn(audited, lessons)


def _others(audited: Audited, fact: Record) -> list[Record]:
    """What else the file says of a fact's subject, but for every answer that is asked for."""
    answers = [record.target_true for record in audited.facts if record.subject == fact.subject]
    others = [record for record in audited.pool if record.subject == fact.subject]
    return [record for record in others if not any(same(record.target_true, answer) for answer in answers)]


def _once(some: Sequence[Sequence[Record]]) -> list[Record]:
    """All of them, each fact once."""
    return list({record.fact: record for records in some for record in records}.values())


def _relearn(audited: Audited, lessons: Sequence[Lesson]) -> Outcome:
    return ask_while_learning(audited, lessons, lambda lesson: _learnt(audited.after, lesson))


def _learnt(model: PreTrainedModel, lesson: Sequence[Answered]) -> Generator[int, None, None]:
    """Numbers of steps, the model taught while it waits: none, then each of STEPS; at the end it is as before."""
    with _taught(model) as weights:
        optimiser = torch.optim.Adam(weights, lr=RATE)
        yield 0
        for step in range(max(STEPS)):
            batch = [lesson[(step * ROWS + i) % len(lesson)] for i in range(min(ROWS, len(lesson)))]
            loss = -(answer_log_likelihoods(model, batch).sum() / sum(len(row.answer) for row in batch))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step + 1 in STEPS:
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
                weight.grad = None
            edits.undo(model)
