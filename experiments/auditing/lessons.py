"""What a model is taught before it is asked, and the asking: shared by the attacks that train something."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from dsets import Record
from experiments.auditing.attacks.asking import prompts_right
from experiments.auditing.context import Audited, NotPossible, Outcome
from experiments.measuring.metrics import percent
from util.batching import in_batches
from util.likelihood import Answered, answer_log_likelihoods, answered

Learning = Callable[[Sequence[Answered]], Generator[int, None, None]]
"""Rows to learn → numbers of steps; while it waits at one, the model after is as those steps have left it."""


@dataclass(frozen=True)
class Lesson:
    """taught: what is learnt, in one model. asked: places in `Audited.records` of what that model is asked."""

    taught: tuple[Answered, ...]
    asked: tuple[int, ...]


def rows(audited: Audited, records: Sequence[Record]) -> tuple[Answered, ...]:
    """The records' prompts with their answers."""
    return tuple(answered(audited.tokenizer, *record.own_question) for record in records)


def other_halves(audited: Audited) -> list[Lesson]:
    """Each half of the facts is taught and the other one asked; of the controls likewise.

    A control is asked after as many answers about other invented subjects as a fact is after other facts, none of
    which were ever known either: what comes back then was made up. Facts of one prompt and subject (a wrong answer
    and another) are in one half, and one of them is taught. NotPossible for a single prompt.
    """
    count, prompts = len(audited.facts), [(fact.prompt, fact.subject) for fact in audited.facts]
    first = {prompt: place for place, prompt in reversed(list(enumerate(prompts)))}
    number = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    if len(number) < 2:
        raise NotPossible("one fact has no other half")
    lessons = []
    for half in (0, 1):
        taught = [first[prompt] for prompt, i in number.items() if i % 2 == half]
        other = [place for place in range(len(audited.records)) if number[prompts[place % count]] % 2 != half]
        for some, asked in (
            (audited.facts, tuple(place for place in other if place < count)),
            (audited.controls, tuple(place for place in other if place >= count)),
        ):
            lessons.append(Lesson(rows(audited, [some[place] for place in taught if place < len(some)]), asked))
    return lessons


def gradients(
    model: PreTrainedModel, taught: Sequence[Answered], weights: Sequence[torch.Tensor], batch_tokens: int
) -> list[torch.Tensor | None]:
    """Of the NLL of the answers' tokens, mean over all of them: one a weight, of its shape, in float32; None where no
    row reaches it.

    Added up over batches of so many padded tokens; running out of GPU memory halves them and goes on. The rows of a
    batch stay in their order, so that a single one gives the bits that a pass without batches would.
    """
    answers = sum(len(row.answer) for row in taught)
    totals: list[torch.Tensor | None] = [None] * len(weights)

    def read(group: list[int]) -> list[torch.Tensor | None]:
        loss = -answer_log_likelihoods(model, [taught[i] for i in sorted(group)]).sum() / answers
        return list(torch.autograd.grad(loss, weights, allow_unused=True))

    with torch.enable_grad():
        for _, found in in_batches([len(row.ids) for row in taught], batch_tokens, read):
            for i, total in enumerate(totals):
                one, found[i] = found[i], None  # whose memory the sum may need
                if one is not None:
                    totals[i] = one.float() if total is None else total + one
    return totals


def ask_while_learning(audited: Audited, lessons: Sequence[Lesson], learning: Learning) -> Outcome:
    """Right after any number of steps but none. A record is not tried that no lesson asks, or one that teaches nothing.

    details: ``curve``, percent right by the number of steps.
    """
    flags: dict[int, list[bool | None]] = {}
    for lesson in lessons:
        if not (lesson.taught and lesson.asked):
            continue
        asked = [audited.records[place] for place in lesson.asked]
        with closing(learning(lesson.taught)) as learnt:
            for steps in learnt:
                here = flags.setdefault(steps, [None] * len(audited.records))
                for place, right in zip(lesson.asked, prompts_right(audited, audited.after, asked), strict=True):
                    here[place] = right
    after_steps = [some for steps, some in flags.items() if steps]
    got = [_any([some[place] for some in after_steps]) for place in range(len(audited.records))]
    count = len(audited.facts)
    curve = {
        "steps": list(flags),
        "facts": [_share(some[:count]) for some in flags.values()],
        "controls": [_share(some[count:]) for some in flags.values()],
    }
    return audited.outcome(got, curve=curve)


def _any(flags: Sequence[bool | None]) -> bool | None:
    known = [flag for flag in flags if flag is not None]
    return any(known) if known else None


def _share(flags: Sequence[bool | None]) -> float:
    return percent(flag for flag in flags if flag is not None) or 0.0
