"""CounterFact's generation tests on the model as it is: what it writes after each fact's generation prompts."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Record
from experiments.measuring.fluency import ngram_entropy, reference_score, reference_statements
from experiments.measuring.generation import TopK, generate_texts
from experiments.measuring.metrics import percent
from util.request import Frame
from util.tokens import encode

TEXT_TOKENS = 100
"""Tokens of a text, its prompt included (ROME's length)."""

SAMPLING = TopK(k=5, seed=0)
"""ROME draws among the five most probable tokens. One seed for all runs: Base and every method get the same numbers."""


@dataclass(frozen=True)
class FreeText:
    """One fact's texts: the continuations of its generation prompts, in their order."""

    prompts: tuple[str, ...]
    said: tuple[str, ...]
    references: tuple[str, ...]

    @property
    def entropy(self) -> float | None:
        """n-gram entropy of the whole texts, prompts included as in ROME's released evaluation; bits."""
        return ngram_entropy([prompt + said for prompt, said in zip(self.prompts, self.said, strict=True)])

    @property
    def reference(self) -> float | None:
        """How close the continuations are to what is said of other subjects with the true object; percent.

        Deviation from ROME: without the prompts, which share their words with our references.
        """
        return reference_score(self.said, self.references)


def write_on(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[Record],
    *,
    batch_tokens: int,
    progress: bool = False,
) -> list[FreeText]:
    """The texts of every record, in order; a record without generation prompts has none.

    What frames the prompts counts neither as text nor for its length.
    """
    prompts = [record.frame.around(prompt) for record in records for prompt in record.generation_prompts]
    frames = {record.frame for record in records}
    around = max(
        (len(encode(tokenizer, frame.before + frame.after)) for frame in frames if frame != Frame()), default=0
    )
    texts = generate_texts(
        model,
        tokenizer,
        prompts,
        max_new_tokens=TEXT_TOKENS,
        max_length=TEXT_TOKENS + around,
        sampling=SAMPLING,
        batch_tokens=batch_tokens,
        progress=progress,
    )
    said = iter(texts)
    return [
        FreeText(
            record.generation_prompts,
            tuple(next(said) for _ in record.generation_prompts),
            record.references or tuple(reference_statements(record)),
        )
        for record in records
    ]


def free_text_summary(facts: Iterable[FreeText]) -> dict[str, float | None]:
    """Means over the facts that have a value. silent: share of the prompts, in percent, after which nothing comes."""
    facts = list(facts)
    return {
        "entropy": _mean(fact.entropy for fact in facts),
        "reference": _mean(fact.reference for fact in facts),
        "silent": percent(float(not text.strip()) for fact in facts for text in fact.said),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
