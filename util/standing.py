"""Where an answer stands after its prompt: its probability, and its rank among all tokens the model might say.

Shape letters: B rows, T tokens, O hidden size, P tokens asked for, V vocabulary.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.batching import in_batches
from util.forward import final_hidden, project
from util.hooks import frozen
from util.likelihood import LOGITS_AT_ONCE, Answered, answered
from util.modeling import check_fits
from util.tokens import pad

Asked = tuple[str, str, str | None]
"""A prompt's text, its answer, and what stands between them, if said."""


@dataclass(frozen=True)
class Standing:
    """probability: geometric mean over the answer's tokens, each after the true ones before it. rank: the largest of
    these tokens' ranks, from 1; 1 means that greedy decoding says the whole answer. Where the model's numbers are not
    finite the probability is NaN and the rank says nothing."""

    probability: float
    rank: int

    @property
    def finite(self) -> bool:
        """Whether the model gave numbers at all."""
        return math.isfinite(self.probability)

    @property
    def said(self) -> bool:
        """Whether the model says the answer."""
        return self.finite and self.rank == 1


def standings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: Iterable[Asked], *, batch_tokens: int
) -> dict[Asked, Standing]:
    """The standing of every distinct question. Raises UserError for one that the model has no room for."""
    questions = list(dict.fromkeys(asked))
    pairs = [answered(tokenizer, *question) for question in questions]
    for question, pair in zip(questions, pairs, strict=True):
        check_fits(model, question[0], len(pair.ids))
    found: dict[Asked, Standing] = {}

    def read(group: list[int]) -> list[Standing]:
        return _read(model, [pairs[i] for i in group])

    with torch.no_grad(), frozen(model):
        for group, some in in_batches([len(pair.ids) for pair in pairs], batch_tokens, read):
            found |= {questions[i]: one for i, one in zip(group, some, strict=True)}
    return {question: found[question] for question in questions}


def _read(model: PreTrainedModel, rows: Sequence[Answered]) -> list[Standing]:
    hidden_BTO = final_hidden(model, pad([row.ids for row in rows], device=model.device))
    places = [place for number, row in enumerate(rows) for place in row.places(number)]
    row_P, position_P, token_P = torch.tensor(places, device=hidden_BTO.device).T
    hidden_PO = hidden_BTO[row_P, position_P]
    step = max(1, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    log_p, ranks = [], []
    for start in range(0, len(places), step):
        logits_PV = project(model, hidden_PO[start : start + step])
        own_P1 = logits_PV.gather(1, token_P[start : start + step, None].to(logits_PV.device))
        ranks += (1 + (logits_PV > own_P1).sum(1)).tolist()
        log_p += (own_P1[:, 0] - logits_PV.logsumexp(1)).tolist()
    said, ranked = iter(log_p), iter(ranks)
    return [_standing([next(said) for _ in row.answer], [next(ranked) for _ in row.answer]) for row in rows]


def _standing(log_p: list[float], ranks: list[int]) -> Standing:
    return Standing(math.exp(sum(log_p) / len(log_p)), max(ranks))
