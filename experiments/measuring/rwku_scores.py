"""RWKU's levels of forgetting: what the model says to the probes of the forgotten subjects and of their neighbours."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import LevelProbe, Record
from dsets.record import LEVELS
from experiments.measuring.generation import generate_texts
from experiments.measuring.metrics import percent

ANSWER_TOKENS = 32
"""Tokens generated after a probe. All of them count: a name given in a later line is not forgotten."""


@dataclass(frozen=True)
class LevelAnswer:
    """A probe and what the model said to it."""

    probe: LevelProbe
    said: str

    @property
    def recall(self) -> float:
        """ROUGE-L recall of the reference; percent."""
        return rouge_l_recall(self.said, self.probe.answer)

    def row(self) -> dict[str, object]:
        """As written to the run folder."""
        probe = self.probe
        asked = {"level": probe.level, "kind": probe.kind, "prompt": probe.prompt, "answer": probe.answer}
        return asked | {"said": self.said, "recall": self.recall}


def rouge_l_recall(generated: str, reference: str) -> float:
    """Length of the longest common subsequence of words over the number of the reference's words; percent (0 to 100).

    ROUGE-L recall (Lin 2004), the published metric of RWKU. Words are lower-case runs of letters and digits. Raises
    ValueError for a reference without words. Deviations from the rouge_score package: no stemming, which it offers, and
    letters of all scripts count (it keeps a to z and 0 to 9).
    """
    said, wanted = _words(generated), _words(reference)
    if not wanted:
        raise ValueError(f"reference {reference!r} has no word; give at least one letter or digit")
    return 100 * _common(said, wanted) / len(wanted)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, by dynamic programming with one row per word of `first`."""
    above = [0] * (len(second) + 1)
    for word in first:
        row = [0]
        for i, other in enumerate(second):
            row.append(above[i] + 1 if word == other else max(above[i + 1], row[i]))
        above = row
    return above[-1]


def level_scores(answers: Iterable[LevelAnswer]) -> dict[str, float | None]:
    """Level → mean recall over its probes, in percent; only levels that have probes, in the order of LEVELS."""
    recalls = defaultdict(list)
    for answer in answers:
        recalls[answer.probe.level].append(answer.recall / 100)
    return {level: percent(recalls[level]) for level in LEVELS if level in recalls}


def answer_levels(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[Record],
    *,
    batch_tokens: int,
    progress: bool = False,
) -> list[tuple[LevelAnswer, ...]]:
    """The answers to every record's probes, in order, by greedy generation.

    A probe that several records carry (the same level, prompt and answer) is asked once and is the first one's alone,
    so that every probe counts once. As published, a neighbour's probe counts even where it names a forgotten subject.
    """
    allotted = _allotted(records)
    owners = zip(records, allotted, strict=True)
    prompts = [record.frame.around(probe.prompt) for record, probes in owners for probe in probes]
    if not prompts:
        return [() for _ in records]
    texts = generate_texts(
        model, tokenizer, prompts, max_new_tokens=ANSWER_TOKENS, batch_tokens=batch_tokens, progress=progress
    )
    said = iter(texts)
    return [tuple(LevelAnswer(probe, next(said)) for probe in probes) for probes in allotted]


def _allotted(records: Sequence[Record]) -> list[list[LevelProbe]]:
    """Per record the probes that no earlier one has."""
    seen: set[tuple[str, str, str]] = set()

    def is_new(probe: LevelProbe) -> bool:
        before = len(seen)
        seen.add((probe.level, probe.prompt, probe.answer))
        return len(seen) > before

    return [[probe for probe in record.levels if is_new(probe)] for record in records]
