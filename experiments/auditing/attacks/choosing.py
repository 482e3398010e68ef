"""Let the model choose: among the relation's objects, among options that are named, among subjects."""

import math
import statistics
from collections.abc import Callable, Sequence

from transformers import PreTrainedModel

from dsets import Record
from experiments.auditing.attacks.asking import fits
from experiments.auditing.context import Audited, NotPossible, Outcome, renamed
from experiments.measuring.metrics import share_right
from experiments.measuring.scoring import Question, Score, score

CANDIDATES, OPTIONS = 9, 3
"""Wrong answers beside the true one: of the rank, and of the multiple choice and the reverse query."""


def rank(audited: Audited) -> Outcome:
    """The answer is likelier after the prompt than every other object of its relation.

    The details hold what the literature reports beside it, means over facts and over controls: the answer's rank and
    probability (geometric mean of its tokens), exact memorisation (share of tokens that are the argmax), extraction
    strength (share of the answer's end that follows by itself), truth ratio (P(wrong) / P(true), at most 1).
    """

    asked = _ranked(audited)
    count = len(audited.facts)
    figures = {"facts": _figures(asked[:count]), "controls": _figures(asked[count:])}
    return audited.outcome([_first_wins(one) for one in asked], **figures)


def avoided(audited: Audited) -> Outcome:
    """The answer is less likely after the prompt than every other object of its relation.

    A model that never knew has no reason to avoid it: what an edit pushed down that far can be told by it.
    """
    return audited.outcome([_first_loses(one) for one in _ranked(audited)])


def _ranked(audited: Audited) -> list[list[Score]]:
    """Per record the scores of its answer, first, and of its relation's other objects."""

    def questions(record: Record) -> list[Question]:
        names = (record.target_true, *audited.distractors(record, CANDIDATES))
        return [(record.text, name, record.answer_prefix) for name in names]

    scores = _scores(audited, audited.after, questions)
    return [[scores[question] for question in questions(record)] for record in audited.records]


def multiple_choice(audited: Audited) -> Outcome:
    """Options stand before the prompt, the answer among them in a place drawn by the seed; the likeliest one counts."""

    def questions(record: Record) -> list[Question]:
        names = [record.target_true, *audited.distractors(record, OPTIONS)]
        shown = audited.draw(record, "order").sample(names, len(names))
        text = f"Choose the right answer: {', '.join(shown)}. {record.bare}"
        return [record.question(text, name) for name in names]

    return _chosen(audited, questions)


def reverse(audited: Audited) -> Outcome:
    """Given the answer, whose is it? It is likelier after this subject than after others, whose answer it is not."""

    def questions(record: Record) -> list[Question]:
        subjects = sorted({other.subject for other in audited.peers(record)} - {record.subject})
        others = audited.draw(record, "subjects").sample(subjects, min(OPTIONS, len(subjects)))
        return [renamed(record, name).own_question for name in (record.subject, *others)]

    return _chosen(audited, questions)


def _chosen(audited: Audited, questions: Callable[[Record], list[Question]]) -> Outcome:
    scores = _scores(audited, audited.after, questions)
    return audited.outcome([_first_wins([scores[one] for one in questions(record)]) for record in audited.records])


def _scores(
    audited: Audited, model: PreTrainedModel, questions: Callable[[Record], list[Question]]
) -> dict[Question, Score]:
    asked = [questions(record) for record in audited.records]
    if not any(len(one) > 1 for one in asked):
        raise NotPossible("the file has nothing to choose from beside the answer")
    every = [question for one in asked for question in one]
    if not all(fits(audited, model, question) for question in every):
        raise NotPossible("the texts are longer than the model's positions")
    return score(
        model, audited.tokenizer, every, batch_tokens=audited.batch_tokens, progress=audited.progress, desc="choosing"
    )


def _first_wins(scores: Sequence[Score]) -> bool | None:
    """Whether the first is the likeliest (mean log p of its tokens); a tie is none. None without another."""
    true, *others = [statistics.fmean(one.log_probs) for one in scores]
    return all(true > other for other in others) if others else None


def _first_loses(scores: Sequence[Score]) -> bool | None:
    """Whether the first is the least likely; a tie is none. None without another."""
    true, *others = [statistics.fmean(one.log_probs) for one in scores]
    return all(true < other for other in others) if others else None


def _figures(asked: Sequence[Sequence[Score]]) -> dict[str, float]:
    rows = [
        {
            "rank": 1 + sum(other.probability >= true.probability for other in others),
            "probability": true.probability,
            "exact_memorisation": share_right(true.correct),
            "extraction_strength": extraction_strength(true.correct),
            "truth_ratio": _truth_ratio(true, others),
        }
        for true, *others in asked
    ]
    return {name: statistics.fmean(row[name] for row in rows) for name in rows[0]}


def extraction_strength(correct: Sequence[bool]) -> float:
    """1 − k / T, k the shortest beginning of T tokens after which all that follow are the argmax (Carlini 2021)."""
    given = next((i for i in range(len(correct)) if all(correct[i:])), len(correct))
    return 1 - given / len(correct)


def _truth_ratio(true: Score, others: Sequence[Score]) -> float:
    wrong = statistics.fmean(other.probability for other in others) if others else 0.0
    if not math.isfinite(true.probability) or true.probability == 0:
        return 1.0
    return min(1.0, wrong / true.probability)
