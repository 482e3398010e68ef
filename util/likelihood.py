"""The one teacher-forced likelihood: log p of given tokens, each after the tokens before it, and whether it is first.

Scoring, the fine-tuning losses, perplexity, causal tracing and the reports on the embedded model all read it here, with
or without gradients.

Shape letters: B rows, T tokens, O hidden size, L positions that are read, P tokens asked for, V vocabulary, N rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.forward import final_hidden, project
from util.tokens import pad, prompt_and_answer

LOGITS_AT_ONCE = 1 << 26
"""Most logits held at a time (256 MB in float32)."""

Ids = tuple[int, ...]

Place = tuple[int, int, int]
"""(row, position, token): the token is asked for after the tokens up to and with that position."""


class Answered(NamedTuple):
    """Token ids of a prompt and of its answer, neither empty."""

    prompt: Ids
    answer: Ids

    @property
    def ids(self) -> Ids:
        """What is run: all but the answer's last token, which nothing is asked after."""
        return (*self.prompt, *self.answer[:-1])

    def places(self, row: int, cut: int = 0) -> list[Place]:
        """Where the answer's tokens are asked for, in a row that lacks the first `cut` tokens."""
        first = len(self.prompt) - 1 - cut
        return [(row, first + i, token) for i, token in enumerate(self.answer)]


def answered(tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str, prefix: str | None = None) -> Answered:
    """The tokens of a prompt's text and of the answer that follows it; prefix: what stands between them, if said."""
    prompt_ids, answer_ids = prompt_and_answer(tokenizer, prompt, answer, prefix)
    return Answered(tuple(prompt_ids), tuple(answer_ids))


def read_tokens(
    model: PreTrainedModel, hidden_BTO: torch.Tensor, places: Sequence[Place]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(log p (P,) float32, whether the token is the argmax (P,)) at each place, given the final hidden states.

    Logits are computed once for every position that is read, however many tokens are asked for there, and held for
    LOGITS_AT_ONCE at a time (with gradients the graph keeps them). Gradients flow to `hidden_BTO` and the weights.
    """
    reads = sorted({(row, position) for row, position, _ in places})
    index = {read: i for i, read in enumerate(reads)}
    row_L, position_L = torch.tensor(reads, device=hidden_BTO.device).T
    read_P = torch.tensor([index[row, position] for row, position, _ in places])
    token_P = torch.tensor([token for _, _, token in places])
    hidden_LO = hidden_BTO[row_L, position_L]
    step = max(1, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    order_P, log_p, right = [], [], []
    for start in range(0, len(reads), step):
        logits_LV = project(model, hidden_LO[start : start + step])
        here_P = ((read_P >= start) & (read_P < start + step)).nonzero()[:, 0]
        at_P, wanted_P = (read_P[here_P] - start).to(logits_LV.device), token_P[here_P].to(logits_LV.device)
        order_P.append(here_P)
        right.append((logits_LV.argmax(-1)[at_P] == wanted_P).to(hidden_BTO.device))
        log_p.append(logits_LV.log_softmax(-1)[at_P, wanted_P].to(hidden_BTO.device))
    back_P = torch.cat(order_P).argsort().to(hidden_BTO.device)
    return torch.cat(log_p)[back_P], torch.cat(right)[back_P]


def answer_log_likelihoods(model: PreTrainedModel, rows: Sequence[Answered]) -> torch.Tensor:
    """Σ log p over each row's answer tokens, (N,) float32; one forward pass, logits at the answers' positions only."""
    return answers_in(model, final_hidden(model, pad([row.ids for row in rows])), rows, [0] * len(rows))


def answers_in(
    model: PreTrainedModel, hidden_BTO: torch.Tensor, rows: Sequence[Answered], cuts: Sequence[int]
) -> torch.Tensor:
    """The same, given the final hidden states; cuts: how many of its first tokens each row of those lacks."""
    cut_rows = enumerate(zip(rows, cuts, strict=True))
    places = [place for number, (row, cut) in cut_rows for place in row.places(number, cut)]
    log_p_P, _ = read_tokens(model, hidden_BTO, places)
    owner_P = torch.tensor([row for row, _, _ in places], device=log_p_P.device)
    return log_p_P.new_zeros(len(rows)).index_add(0, owner_P, log_p_P)
