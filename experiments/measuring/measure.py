"""What is measured about a draw of facts, on the model as it is: scores per fact, and the summary's percentages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import MultiHop, Record
from dsets.splits import Draw
from experiments.measuring.free_text import FreeText, free_text_summary, write_on
from experiments.measuring.generation import generate_texts
from experiments.measuring.metrics import accuracy, accuracy_of_groups, answers_question, percent, success
from experiments.measuring.rwku_scores import LevelAnswer, answer_levels, level_scores
from experiments.measuring.scoring import Question, Score, score
from util.request import Frame
from util.writing import occurrences

MULTI_HOP_TOKENS = 16
"""Tokens generated after a multi-hop question."""


@dataclass(frozen=True)
class FactScores:
    """One fact: its prompt, its paraphrases, its usable neighbours, its alternative answer, its texts.

    levels: answers to its probes, less those that an earlier fact of the draw has.
    """

    prompt: Score
    paraphrases: list[Score]
    neighborhood: list[Score]
    new: Score | None
    text: FreeText | None = None
    levels: tuple[LevelAnswer, ...] = ()

    def row(self) -> dict[str, object]:
        """As written to the run folder."""
        return {
            "efficacy": _row(self.prompt),
            "generalization": [_row(one) for one in self.paraphrases],
            "specificity": [_row(one) for one in self.neighborhood],
            "new": _row(self.new) if self.new else None,
            "generated": dict(zip(self.text.prompts, self.text.said, strict=True)) if self.text else {},
            "levels": [answer.row() for answer in self.levels],
        }


def _row(one: Score) -> dict[str, object]:
    """Without a probability where the model's numbers broke, which JSON cannot hold."""
    return {"correct": list(one.correct), "probability": one.probability if math.isfinite(one.probability) else None}


@dataclass(frozen=True)
class Measurement:
    """Scores of a draw. multi_hop: one flag per multi-hop case, whether any of its questions was answered."""

    metric: str
    forget: list[FactScores]
    retain: list[FactScores]
    same_subject: list[FactScores]
    multi_hop: list[bool] = field(default_factory=list)

    def summary(self) -> dict[str, float | None]:
        """Percentages; None where a metric does not exist. Levels only where there are probes."""
        retain = self._efficacy(self.retain)
        spoken = self.metric == "mquake"
        return {
            "efficacy": self._efficacy(self.forget),
            "generalization": percent(map(float, self.multi_hop)) if spoken else self._groups("paraphrases"),
            "specificity": retain if spoken else self._groups("neighborhood"),
            "retain": retain,
            "same_subject": self._efficacy(self.same_subject),
            **success((fact.prompt.probability, fact.new.probability) for fact in self.forget if fact.new),
            **free_text_summary(fact.text for fact in self.forget if fact.text),
            **level_scores(answer for fact in self.forget for answer in fact.levels),
        }

    def _efficacy(self, facts: list[FactScores]) -> float | None:
        return accuracy((fact.prompt.correct for fact in facts), self.metric)

    def _groups(self, prompts: str) -> float | None:
        groups = ([one.correct for one in getattr(fact, prompts)] for fact in self.forget)
        return accuracy_of_groups(groups, self.metric)


def forgotten_neighbors(draw: Draw) -> int:
    """Neighbourhood prompts that name a forgotten subject, which `measure` leaves out of Spe."""
    subjects = [record.subject for record in draw.forget]
    return sum(_names(probe.prompt, subjects) for record in draw.forget for probe in record.neighborhood)


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    draw: Draw,
    metric: str,
    *,
    batch_tokens: int,
    generation_tokens: int | None = None,
    retain: bool = True,
    generation: bool = True,
    progress: bool = False,
) -> Measurement:
    """Score every prompt of the draw in one go.

    retain: also the retain facts (always for mquake, whose Spe they are). generation: also what is generated: answers
    of multi-hop questions, the texts of CounterFact's generation prompts, and the answers to the levels' probes.
    generation_tokens: padded tokens of a batch that is generated (default: batch_tokens); the larger the faster, for
    each of many steps reads all weights.
    """
    subjects = [record.subject for record in draw.forget]
    watched = draw.retain if retain or metric == "mquake" else []
    asked = [_Asked(record, subjects) for record in draw.forget]
    plain = [_Asked(record, None) for record in (*watched, *draw.same_subject)]
    questions = [question for one in (*asked, *plain) for question in one.questions()]
    scores = score(model, tokenizer, questions, batch_tokens=batch_tokens, progress=progress)
    others = [one.scored(scores) for one in plain]
    spoken = draw.forget if generation else []
    budget = generation_tokens or batch_tokens
    texts = write_on(model, tokenizer, spoken, batch_tokens=budget, progress=progress)
    levels = answer_levels(model, tokenizer, spoken, batch_tokens=budget, progress=progress)
    facts = zip_longest(asked, texts, levels)
    return Measurement(
        metric,
        [replace(one.scored(scores), text=text, levels=answers or ()) for one, text, answers in facts],
        others[: len(watched)],
        others[len(watched) :],
        _multi_hop(model, tokenizer, spoken, budget, progress),
    )


class _Asked:
    """The questions asked about one record; with subjects None only its prompt."""

    def __init__(self, record: Record, subjects: Sequence[str] | None):
        self.prompt: Question = record.own_question
        self.new: Question | None = None
        self.paraphrases: list[Question] = []
        self.neighborhood: list[Question] = []
        if subjects is None:
            return
        self.new = (record.text, record.target_new, record.answer_prefix) if record.target_new else None
        self.paraphrases = [record.question(text, record.target_true) for text in record.paraphrases]
        usable = [probe for probe in record.neighborhood if not _names(probe.prompt, subjects)]
        self.neighborhood = [record.question(probe.prompt, probe.answer) for probe in usable]

    def questions(self) -> list[Question]:
        return [self.prompt, *([self.new] if self.new else []), *self.paraphrases, *self.neighborhood]

    def scored(self, scores: dict[Question, Score]) -> FactScores:
        return FactScores(
            scores[self.prompt],
            [scores[question] for question in self.paraphrases],
            [scores[question] for question in self.neighborhood],
            scores[self.new] if self.new else None,
        )


def _names(text: str, subjects: Sequence[str]) -> bool:
    """Whether a text holds one of the subjects, as words and not inside others (Ana is not in Anatolia)."""
    plain = text.isascii()  # then a subject in another Unicode form cannot be there, and most are told by `in` alone
    return any((subject in text or not plain) and occurrences(text, subject) for subject in subjects)


def _multi_hop(model, tokenizer, records: Sequence[Record], batch_tokens: int, progress: bool) -> list[bool]:
    """Whether any question of each distinct multi-hop case is answered, by greedy generation."""
    cases: dict[int | str, tuple[Frame, MultiHop]] = {
        record.multihop.case_id: (record.frame, record.multihop) for record in records if record.multihop
    }
    questions = [frame.around(question) for frame, case in cases.values() for question in case.questions]
    if not questions:
        return []
    texts = generate_texts(
        model,
        tokenizer,
        questions,
        max_new_tokens=MULTI_HOP_TOKENS,
        batch_tokens=batch_tokens,
        progress=progress,
    )
    said = iter(texts)
    answered = [[answers_question(next(said), case.answers) for _ in case.questions] for _, case in cases.values()]
    return [any(flags) for flags in answered]
