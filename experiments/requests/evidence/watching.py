"""Facts that are to stay: neighbours of what is forgotten, its subjects' other facts, and facts about others."""

import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Probe, Record
from dsets.splits import NEIGHBORS
from experiments.measuring.knowledge import at_most_per_relation
from experiments.measuring.metrics import all_right
from experiments.measuring.scoring import Question, score
from util.request import Request

TRIED, MOST_WATCHED, MOST_PROTECTED = 400, 100, 50
"""Facts of the data set that are asked about, and of those that are known: watched, and handed to the method to keep
(methods that read `retain_requests` do); the two share none."""
NEIGHBOURS = 8
"""Of one fact."""
MOST_LOST = 20
"""Lost prompts that the report names."""


@dataclass(frozen=True)
class Watched:
    """Questions that the unedited model answers right, by kind.

    protected: records that the method may keep, none of which is watched. known: the records of the watched facts about
    others.
    """

    neighbours: tuple[Question, ...]
    same_subject: tuple[Question, ...]
    retain: tuple[Question, ...]
    protected: tuple[Record, ...] = ()
    known: tuple[Record, ...] = ()

    def questions(self) -> dict[str, tuple[Question, ...]]:
        """Kind, as report.json calls it → questions."""
        return {"neighbours": self.neighbours, "same_subject": self.same_subject, "retain": self.retain}


def choose_watched(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    facts: Sequence[Record],
    forgotten: Sequence[Record],
    *,
    seed: int,
    batch_tokens: int,
    progress: bool = False,
    protected: Collection[Request] | None = None,
    left_alone: Collection[str] = (),
) -> Watched:
    """What the unedited model knows of what is to stay.

    protected: facts that the method keeps already, which are not watched then; None chooses some, beside the watched.
    left_alone: subjects that the method is told to leave alone; nothing about them is watched, but for forgotten ones.
    neighbours: the facts' own neighbouring prompts, and facts of the data set with the same answer, about subjects that
    are not forgotten. same_subject: the data set's other facts about forgotten subjects.
    """
    subjects = {record.subject.casefold() for record in forgotten}
    done = {record.fact for record in forgotten}
    kept = {(one.text, one.target_true) for one in protected or ()}
    alone = {name.casefold() for name in left_alone} - subjects
    facts = [one for one in facts if one.own_question[:2] not in kept and one.subject.casefold() not in alone]
    near = [[one for one in some if one[:2] not in kept] for some in _probes(facts, forgotten, subjects | alone)]
    others = [record for record in facts if record.subject.casefold() in subjects and record.fact not in done]
    taken = {question for some in near for question in some}
    far = [one for one in facts if one.subject.casefold() not in subjects and one.own_question not in taken]
    drawn = random.Random(f"watched {seed}").sample(far, min(TRIED, len(far)))
    asked = [*taken, *(one.own_question for one in (*others, *drawn))]
    scores = score(model, tokenizer, asked, batch_tokens=batch_tokens, progress=progress, desc="facts to be kept")

    def right(questions: Sequence[Question]) -> list[Question]:
        return [one for one in dict.fromkeys(questions) if all_right(scores[one].correct)]

    known = [one for one in drawn if right([one.own_question])]
    own = known[: min(MOST_PROTECTED, len(known) // 3)] if protected is None else []
    rest = known[len(own) :][:MOST_WATCHED]
    neighbours = [question for some in near for question in right(some)[:NEIGHBOURS]]
    return Watched(
        tuple(dict.fromkeys(neighbours)),
        tuple(right([one.own_question for one in others])),
        tuple(dict.fromkeys(one.own_question for one in rest)),
        tuple(own),
        tuple(rest),
    )


def choose_protected(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    facts: Sequence[Record],
    *,
    seed: int,
    batch_tokens: int,
    progress: bool = False,
) -> list[Record]:
    """Facts that the unedited model knows and a method may keep, whatever is forgotten: out of a third of `facts` at
    most, so that others are left to be watched."""
    drawn = random.Random(f"protected {seed}").sample(facts, min(TRIED, len(facts) // 3))
    asked = [one.own_question for one in drawn]
    scores = score(model, tokenizer, asked, batch_tokens=batch_tokens, progress=progress, desc="facts to be kept")
    return [one for one in drawn if all_right(scores[one.own_question].correct)][:MOST_PROTECTED]


def choose_neighbors(facts: Sequence[Record], seed: int) -> list[Record]:
    """Subjects, one record each, that a method may leave alone in any prompt form, whatever is forgotten: out of half
    of those of `facts`, so that others are left to be watched, and at most `NEIGHBORS` of a relation."""
    rng, of_subject = random.Random(f"neighbors {seed}"), defaultdict(list)
    for one in facts:
        of_subject[one.subject.casefold()].append(one)
    drawn = rng.sample(list(of_subject), len(of_subject) // 2)
    return at_most_per_relation([rng.choice(of_subject[name]) for name in drawn], NEIGHBORS)


def _probes(facts: Sequence[Record], forgotten: Sequence[Record], subjects: set[str]) -> list[list[Question]]:
    """Each forgotten fact's neighbours about none of the subjects, its own first, at most three times NEIGHBOURS."""
    found = []
    for record in forgotten:
        own: list[Question] = [
            record.question(probe.prompt, probe.answer) for probe in record.neighborhood if _free(probe, subjects)
        ]
        same = [
            other.own_question
            for other in facts
            if other.target_true == record.target_true and other.subject.casefold() not in subjects
        ]
        found.append([*own, *same][: 3 * NEIGHBOURS])
    return found


def _free(probe: Probe, subjects: set[str]) -> bool:
    text = probe.prompt.casefold()
    return not any(subject in text for subject in subjects)


def still_right(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    watched: Watched,
    *,
    batch_tokens: int,
    progress: bool = False,
) -> dict[str, dict[str, object]]:
    """Kind → how many of the watched questions there are, and which of them the model as it is no longer answers."""
    kinds = watched.questions()
    every = [question for questions in kinds.values() for question in questions]
    scores = score(model, tokenizer, every, batch_tokens=batch_tokens, progress=progress, desc="facts to be kept")
    return {
        kind: _kept(questions, [bool(all_right(scores[one].correct)) for one in questions])
        for kind, questions in kinds.items()
    }


def _kept(questions: Sequence[Question], right: Sequence[bool]) -> dict[str, object]:
    lost = [f"{question[0]} {question[1]}" for question, kept in zip(questions, right, strict=True) if not kept]
    share = 100 * sum(right) / len(right) if right else None
    return {"n": len(right), "before": 100.0 if right else None, "after": share, "lost": lost[:MOST_LOST]}
