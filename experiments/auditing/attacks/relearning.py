"""Teach the model something else for a few steps, and see whether the forgotten facts come back by themselves.

What a model still holds comes back fast and where it was not taught; what is gone does not.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel

from dsets import Record
from experiments.auditing.attacks.asking import IRRELEVANT, prompts_right
from experiments.auditing.changed_weights import layer_matrices
from experiments.auditing.context import Audited, NotPossible, Outcome, same
from util.hooks import frozen
from util.likelihood import Answered, answer_log_likelihoods, answered
from util.tokens import encode
from util.weights import WeightEdits

STEPS = (1, 5, 20, 50)
"""Steps after which the facts are asked."""

RATE, ROWS = 2e-5, 16
"""Adam's learning rate, and texts of one step."""


def on_other_half(audited: Audited) -> Outcome:
    """Each half of the facts is taught and the other one asked, so that every fact is asked untaught.

    What is taught may share an answer with what is asked; what that alone brings shows in the controls.
    """
    facts = audited.facts
    if len(facts) < 2:
        raise NotPossible("one fact has no other half")
    return _relearn(audited, [_rows(audited, facts[0::2]), _rows(audited, facts[1::2])], lambda i: 1 - i % 2)


def on_unrelated_text(audited: Audited) -> Outcome:
    """Text about nothing is taught."""
    ids = encode(audited.tokenizer, IRRELEVANT)
    rows = [Answered((ids[0],), tuple(ids[1 : 1 + length])) for length in (len(ids) - 1, len(ids) // 2, len(ids) // 3)]
    return _relearn(audited, [rows], lambda i: 0)


def on_same_subjects(audited: Audited) -> Outcome:
    """Other facts of the file about the same subjects are taught, those whose answer is another."""
    answers: dict[str, list[str]] = {}
    for record in audited.facts:
        answers.setdefault(record.subject, []).append(record.target_true)
    others = [
        one
        for one in audited.pool
        if one.subject in answers and not any(same(one.target_true, answer) for answer in answers[one.subject])
    ]
    if not others:
        raise NotPossible("the file has no other facts about the same subjects")
    return _relearn(audited, [_rows(audited, others)], lambda i: 0)


def _rows(audited: Audited, records: Sequence[Record]) -> list[Answered]:
    return [answered(audited.tokenizer, *record.own_question) for record in records]


def _relearn(audited: Audited, lessons: Sequence[list[Answered]], lesson_of: Callable[[int], int]) -> Outcome:
    """Right after any number of steps; each fact is asked in the model that `lesson_of` its place was taught to.

    details: ``curve``, percent right by the number of steps, 0 before any.
    """
    count = len(audited.facts)
    flags = [[False] * len(audited.records) for _ in (0, *STEPS)]
    for number, lesson in enumerate(lessons):
        for i, answers in enumerate(_asked_while_learning(audited, lesson)):
            for place, right in enumerate(answers):
                if lesson_of(place % count) == number:
                    flags[i][place] = bool(right)
    got = [any(step[place] for step in flags[1:]) for place in range(len(audited.records))]
    curve = {
        "steps": [0, *STEPS],
        "facts": [100 * sum(one[:count]) / count for one in flags],
        "controls": [100 * sum(one[count:]) / len(audited.controls) for one in flags],
    }
    return audited.outcome(got, curve=curve)


def _asked_while_learning(audited: Audited, lesson: Sequence[Answered]) -> Iterator[list[bool | None]]:
    """The prompts' flags before any step and after each of STEPS; the weights are as before at the end."""
    model = audited.after
    with _taught(model) as weights:
        optimiser = torch.optim.Adam(weights, lr=RATE)
        yield prompts_right(audited, model)
        for step in range(max(STEPS)):
            batch = [lesson[(step * ROWS + i) % len(lesson)] for i in range(min(ROWS, len(lesson)))]
            loss = -(answer_log_likelihoods(model, batch).sum() / sum(len(row.answer) for row in batch))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step + 1 in STEPS:
                yield prompts_right(audited, model)


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
