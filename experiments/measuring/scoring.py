"""Teacher-forced scoring of (prompt, answer) pairs in batches: correctness and probability of every answer token.

``prompt + " " + answer``: a token counts as right when it is the argmax given the true tokens before it.

Shape letters: L positions that are read, O hidden size, V vocabulary.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.batching import in_batches
from util.forward import final_hidden, project
from util.hooks import frozen
from util.modeling import check_fits
from util.tokens import encode, pad, target_ids

LOGITS_AT_ONCE = 1 << 26
"""Most logits held at a time (256 MB in float32)."""

Question = tuple[str, str]
"""(prompt, answer), the answer without a leading space."""

Ids = tuple[int, ...]
Pair = tuple[Ids, Ids]
"""(tokens of a prompt, tokens of its answer), neither empty."""


@dataclass(frozen=True)
class Score:
    """correct: one flag per answer token. log_probs: log p of each answer token given the true tokens before it."""

    correct: tuple[bool, ...]
    log_probs: tuple[float, ...]

    @property
    def all_right(self) -> float:
        """1 if every token is right, else 0."""
        return float(all(self.correct))

    @property
    def share_right(self) -> float:
        """Share of the tokens that are right."""
        return sum(self.correct) / len(self.correct)

    @property
    def probability(self) -> float:
        """Geometric mean of the token probabilities, which compares answers of different lengths (ROME's scorer)."""
        return math.exp(sum(self.log_probs) / len(self.log_probs))


@dataclass(frozen=True)
class _Item:
    """A pair, the tokens that are run for it, and the position that predicts its answer's first token."""

    pair: Pair
    row: Ids
    first: int


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
    prompts: dict[str, Ids] = {}
    pairs: dict[Question, Pair] = {}
    for prompt, answer in dict.fromkeys(questions):
        ids = prompts.get(prompt) or prompts.setdefault(prompt, tuple(encode(tokenizer, prompt)))
        pairs[prompt, answer] = ids, tuple(target_ids(tokenizer, answer))
        check_fits(model, prompt, len(ids) + len(pairs[prompt, answer][1]) - 1)
    found = score_pairs(model, pairs.values(), batch_tokens=batch_tokens, progress=progress, desc=desc)
    return {question: found[pair] for question, pair in pairs.items()}


def score_pairs(
    model: PreTrainedModel,
    pairs: Iterable[Pair],
    *,
    batch_tokens: int,
    longest: int | None = None,
    progress: bool = False,
    desc: str = "scoring",
) -> dict[Pair, Score]:
    """Scores of all distinct pairs of token ids.

    Each text is run once: a text that is the beginning of another is read there, so a prompt's answers share its pass
    wherever they can, and logits are computed at the answers' positions only.
    longest: of a text with more tokens only the last so many are run (no answer may be longer).
    """
    items = [_item(pair, longest) for pair in dict.fromkeys(pairs)]
    hosted = _host(items)
    rows = list(hosted)

    def read(group: list[int]) -> dict[Pair, Score]:
        texts = [rows[i] for i in group]
        hidden = final_hidden(model, pad(texts, device=model.device))
        return _read(model, hidden, [hosted[text] for text in texts])

    scores: dict[Pair, Score] = {}
    with torch.no_grad(), frozen(model), tqdm(total=len(items), desc=desc, disable=not progress, leave=False) as bar:
        for _, found in in_batches([len(row) for row in rows], batch_tokens, read):
            scores.update(found)
            bar.update(len(found))
    return scores


def _item(pair: Pair, longest: int | None) -> _Item:
    prompt, answer = pair
    row = (*prompt, *answer[:-1])
    cut = max(0, len(row) - longest) if longest else 0
    assert len(prompt) - 1 >= cut, f"an answer of {len(answer)} tokens does not fit into {longest}"
    return _Item(pair, row[cut:], len(prompt) - 1 - cut)


def _host(items: list[_Item]) -> dict[Ids, list[_Item]]:
    """Longest texts → the items that can be read in them. In sorted order a text stands right before its extensions."""
    hosted: dict[Ids, list[_Item]] = defaultdict(list)
    host: Ids = ()
    for item in sorted(items, key=lambda item: item.row, reverse=True):
        if host[: len(item.row)] != item.row:
            host = item.row
        hosted[host].append(item)
    return hosted


def _read(model: PreTrainedModel, hidden_BTO: torch.Tensor, items: list[list[_Item]]) -> dict[Pair, Score]:
    places = [
        (row, item.first + i, token, item)
        for row, row_items in enumerate(items)
        for item in row_items
        for i, token in enumerate(item.pair[1])
    ]
    reads = sorted({(row, position) for row, position, _, _ in places})
    index = {read: i for i, read in enumerate(reads)}
    wanted = torch.tensor(
        [[index[row, position], token] for row, position, token, _ in places], device=hidden_BTO.device
    )
    rows, positions = torch.tensor(reads, device=hidden_BTO.device).T
    right, log_probs = _at(model, hidden_BTO[rows, positions], wanted[:, 0], wanted[:, 1])
    found: dict[Pair, tuple[list, list]] = defaultdict(lambda: ([], []))
    for (_, _, _, item), is_right, log_prob in zip(places, right, log_probs, strict=True):
        found[item.pair][0].append(is_right)
        found[item.pair][1].append(log_prob)
    return {pair: Score(tuple(correct), tuple(values)) for pair, (correct, values) in found.items()}


def _at(model, hidden_LO, read_P, token_P) -> tuple[list[bool], list[float]]:
    """Argmax hits and log-probabilities of (read, token) pairs, the vocabulary held for some reads at a time."""
    step = max(1, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    right = torch.zeros(len(read_P), dtype=torch.bool, device=hidden_LO.device)
    log_probs = torch.zeros(len(read_P), dtype=torch.float32, device=hidden_LO.device)
    for start in range(0, len(hidden_LO), step):
        logits = project(model, hidden_LO[start : start + step]).to(hidden_LO.device)
        here = ((read_P >= start) & (read_P < start + step)).nonzero()[:, 0]
        rows, tokens = read_P[here] - start, token_P[here]
        right[here] = logits.argmax(-1)[rows] == tokens
        log_probs[here] = (logits[rows, tokens] - logits.logsumexp(-1)[rows]).float()
    return right.tolist(), log_probs.tolist()
