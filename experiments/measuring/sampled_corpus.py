"""Documents that the model itself samples, for statistics where there is no text at all."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets.corpus import Corpus
from experiments.measuring.generation import TopK, generate_texts
from util.errors import UserError
from util.modeling import default_batch_tokens, max_length
from util.progress import progress_bar

NAME = "sampled"
"""As mom2_dataset names it."""
OPENERS = (
    *("The history of", "In the early years", "The city is", "She was born in", "He was a member of", "The first"),
    *("According to", "During the war", "The species is", "It was released in", "The government of", "A study by"),
    *("The film tells", "In mathematics,", "The river flows", "The company was", "Many people", "The album was"),
    *(
        "In the United States,",
        "The island of",
        "The church was",
        "Its population",
        "The team played",
        "The word comes",
    ),
    *("In modern times,", "The theory of", "The railway line", "After his death,", "The book describes", "Water is"),
)
TOP_K, NEW_TOKENS = 50, 192
VERSION = 1
"""Raise when the same model would sample other documents."""


def recipe(count: int) -> Corpus:
    """The corpus before there is a model: its name and digest are known, its documents are not.

    The digest is that of the recipe. What a model makes of it hangs on the model and its tokenizer, whose hashes the
    names of statistics hold beside it.
    """
    decides = [NAME, VERSION, count, OPENERS, TOP_K, NEW_TOKENS]
    return Corpus(NAME, hashlib.sha256(json.dumps(decides).encode()).hexdigest(), Unsampled(count))


def sampled(corpus: Corpus, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, progress: bool) -> Corpus:
    """A recipe's corpus as this unedited model samples it when it is first looked at; another corpus as it is."""
    if not isinstance(corpus.documents, Unsampled):
        return corpus
    return replace(corpus, documents=SampledDocuments(len(corpus.documents), model, tokenizer, progress))


class Unsampled(Sequence[str]):
    """So many documents that nobody has sampled yet. Raises UserError when one is looked at."""

    def __init__(self, count: int):
        self.size = count

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index):
        raise UserError(f"mom2_dataset {NAME!r} has no text without its model; name a file of text here")


class SampledDocuments(Sequence[str]):
    """Document i goes on from opener i mod len(OPENERS) with draw i div len(OPENERS): top-k sampling, NEW_TOKENS tokens
    at most, the same for the same model. What ends at once stays an opener."""

    def __init__(self, count: int, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, progress: bool):
        self.size, self.model, self.tokenizer, self.progress = count, model, tokenizer, progress

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index):
        return self._texts[index]

    @cached_property
    def _texts(self) -> list[str]:
        texts: list[str] = []
        tokens = min(NEW_TOKENS, max_length(self.model, 2 * NEW_TOKENS) // 2)
        starts = range(0, self.size, len(OPENERS))
        for start in progress_bar(starts, desc="documents of the model's own", progress=self.progress):
            openers = OPENERS[: self.size - start]
            said = generate_texts(
                self.model,
                self.tokenizer,
                openers,
                max_new_tokens=tokens,
                batch_tokens=default_batch_tokens(self.model),
                sampling=TopK(TOP_K, seed=start),
            )
            texts += (opener + text for opener, text in zip(openers, said, strict=True))
        return texts
