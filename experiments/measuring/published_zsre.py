"""zsRE as the published release scores it, for whoever compares with its table; shown beside the correct numbers.

Two things differ from `measure`. Both come from a tokenizer that adds BOS (the release asks for "llama" in the model's
name instead; the effect is the same):

- Every answer token is asked for with a text of its own, and before the second and later tokens of the true answer that
  text has two spaces: prompt + " " + decode(tokens so far), which begin with a space already.
- The unrelated question's answer is tokenised with BOS, so its first item asks for BOS after the question, which no
  model says, and all later texts hold BOS between question and answer.

Without BOS neither happens. Neighbours that name a forgotten subject stay in, as in the release.
"""

from collections.abc import Iterable, Iterator, Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Record
from experiments.measuring.metrics import accuracy, accuracy_of_groups
from experiments.measuring.scoring import score_pairs
from util.likelihood import Answered
from util.tokens import adds_bos

Item = tuple[str, str]
"""A text and the text of the one token that is right after it."""


def published_zsre(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[Record],
    *,
    batch_tokens: int,
    progress: bool = False,
) -> dict[str, float | None]:
    """``published_efficacy``, ``_generalization`` and ``_specificity`` in percent, means over facts."""
    own = [_pairs(tokenizer, answer_items(tokenizer, record.text, record.target_true)) for record in records]
    rephrased = [
        [_pairs(tokenizer, answer_items(tokenizer, text, record.target_true)) for text in record.paraphrases]
        for record in records
    ]
    unrelated = [
        [_pairs(tokenizer, locality_items(tokenizer, probe.prompt, probe.answer)) for probe in record.neighborhood]
        for record in records
    ]
    everything = [*own, *(pairs for groups in (*rephrased, *unrelated) for pairs in groups)]
    asked = (pair for pairs in everything for pair in pairs if pair)
    scores = score_pairs(model, asked, batch_tokens=batch_tokens, progress=progress, desc="published scorer")

    def right(pairs: Iterable[Answered | None]) -> list[bool]:
        return [pair is not None and scores[pair].correct[0] for pair in pairs]

    return {
        "published_efficacy": accuracy(map(right, own), "zsre"),
        "published_generalization": accuracy_of_groups((list(map(right, group)) for group in rephrased), "zsre"),
        "published_specificity": accuracy_of_groups((list(map(right, group)) for group in unrelated), "zsre"),
    }


def answer_items(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> Iterator[Item]:
    """The items of a prompt and the true answer."""
    bos = adds_bos(tokenizer)
    ids = tokenizer(f" {answer}")["input_ids"][int(bos) :]
    for i, token in enumerate(ids):
        yield prompt + (" " if bos and i else "") + tokenizer.decode(ids[:i]), tokenizer.decode([token])


def locality_items(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str) -> Iterator[Item]:
    """The items of an unrelated question (its mark included) and its answer."""
    ids = tokenizer(f" {answer}")["input_ids"]
    for i, token in enumerate(ids):
        yield prompt + tokenizer.decode(ids[:i]), tokenizer.decode([token])


def _pairs(tokenizer: PreTrainedTokenizerBase, items: Iterable[Item]) -> list[Answered | None]:
    """Token ids; a right token is the first of its own text, tokenised again (part of a letter may change by that).

    None where it has no text: SentencePiece's mark of a space, decoded alone. Nothing is right there.
    """
    pairs = []
    for text, right in items:
        asked, wanted = tokenizer(text)["input_ids"], tokenizer(right, add_special_tokens=False)["input_ids"]
        pairs.append(Answered(tuple(asked), tuple(wanted[:1])) if wanted else None)
    return pairs
