"""Teacher-forced scoring of (prompt, answer) pairs in batches: correctness and probability of every answer token.

A token of the answer counts as right when it is the argmax given the true tokens before it. Where the answer begins:
`util.tokens.prompt_and_answer`.

Shape letters: B rows, T tokens, O hidden size.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.batching import in_batches
from util.forward import final_hidden
from util.hooks import frozen
from util.likelihood import Answered, Ids, answered, read_tokens
from util.modeling import check_fits
from util.progress import progress_bar
from util.tokens import pad

Question = tuple[str, str] | tuple[str, str, str | None]
"""(prompt, answer), the answer without a leading space, and what stands between them, if said."""


@dataclass(frozen=True)
class Score:
    """correct: one flag per answer token. log_probs: log p of each answer token given the true tokens before it."""

    correct: tuple[bool, ...]
    log_probs: tuple[float, ...]

    @property
    def probability(self) -> float:
        """Geometric mean of the token probabilities, which compares answers of different lengths (ROME's scorer)."""
        return math.exp(sum(self.log_probs) / len(self.log_probs))


@dataclass(frozen=True)
class _Item:
    """A pair, the tokens that are run for it, and how many of its first tokens those lack."""

    pair: Answered
    row: Ids
    cut: int


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Iterable[Question],
    *,
    batch_tokens: int,
    progress: bool = False,
    desc: str = "scoring",
) -> dict[Question, Score]:
    """Scores of all distinct questions, by `score_pairs`. Raises UserError for one that the model has no room for."""
    pairs = {question: answered(tokenizer, *question) for question in dict.fromkeys(questions)}
    for question, pair in pairs.items():
        check_fits(model, question[0], len(pair.ids))
    found = score_pairs(model, pairs.values(), batch_tokens=batch_tokens, progress=progress, desc=desc)
    return {question: found[pair] for question, pair in pairs.items()}


def score_pairs(
    model: PreTrainedModel,
    pairs: Iterable[Answered],
    *,
    batch_tokens: int,
    longest: int | None = None,
    progress: bool = False,
    desc: str = "scoring",
) -> dict[Answered, Score]:
    """Scores of all distinct pairs of token ids.

    Each text is run once: a text that is the beginning of another is read there, so a prompt's answers share its pass
    wherever they can, and logits are computed at the answers' positions only.
    longest: of a text with more tokens only the last so many are run (no answer may be longer).
    """
    items = [_item(Answered(*pair), longest) for pair in dict.fromkeys(pairs)]
    hosted = _host(items)
    rows = list(hosted)

    def read(group: list[int]) -> dict[Answered, Score]:
        texts = [rows[i] for i in group]
        hidden = final_hidden(model, pad(texts, device=model.device))
        return _read(model, hidden, [hosted[text] for text in texts])

    scores: dict[Answered, Score] = {}
    with (
        torch.no_grad(),
        frozen(model),
        progress_bar(total=len(items), desc=desc, progress=progress, leave=False) as bar,
    ):
        for _, found in in_batches([len(row) for row in rows], batch_tokens, read):
            scores.update(found)
            bar.update(len(found))
    return scores


def _item(pair: Answered, longest: int | None) -> _Item:
    cut = max(0, len(pair.ids) - longest) if longest else 0
    assert len(pair.prompt) - 1 >= cut, f"an answer of {len(pair.answer)} tokens does not fit into {longest}"
    return _Item(pair, pair.ids[cut:], cut)


def _host(items: list[_Item]) -> dict[Ids, list[_Item]]:
    """Longest texts → the items that can be read in them. In sorted order a text stands right before its extensions."""
    hosted: dict[Ids, list[_Item]] = defaultdict(list)
    host: Ids = ()
    for item in sorted(items, key=lambda item: item.row, reverse=True):
        if host[: len(item.row)] != item.row:
            host = item.row
        hosted[host].append(item)
    return hosted


def _read(model: PreTrainedModel, hidden_BTO: torch.Tensor, items: list[list[_Item]]) -> dict[Answered, Score]:
    asked = [(item.pair, item.pair.places(row, item.cut)) for row, some in enumerate(items) for item in some]
    log_p, right = read_tokens(model, hidden_BTO, [place for _, places in asked for place in places])
    log_probs, correct = iter(log_p.tolist()), iter(right.tolist())
    return {
        pair: Score(tuple(islice(correct, len(places))), tuple(islice(log_probs, len(places))))
        for pair, places in asked
    }
