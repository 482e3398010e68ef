"""The loss of the target optimisation, for many facts in one batch.

Shape letters: N facts, R rows (one text each), S suffix positions, L label positions, O hidden size, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.contexts import Templates, fill, flatten
from util.editing.suffixes import Suffixes, Text, cut, run_above
from util.hparams import TargetHParams
from util.modeling import layer_count, module, project
from util.request import Request
from util.tokens import locate_subject, target_ids

DRIFT = "{} is a"


@dataclass(frozen=True)
class Example:
    """One fact's texts: a prompt in each context followed by the answer but for its last token, then the drift text.

    first_label: per context text, the suffix position whose next token is the answer's first. The drift text ends at
    its subject: only the distribution there is read.
    """

    texts: list[Text]
    first_label: list[int]
    answer: list[int]


def example(tokenizer: PreTrainedTokenizerBase, request: Request, answer: str, templates: Templates) -> Example:
    """Tokenise one request for one answer."""
    answer_ids = target_ids(tokenizer, answer)
    texts, first_label = [], []
    for template in flatten(templates):
        ids, fact = locate_subject(tokenizer, fill(template, request.prompt), request.subject)
        texts.append(Text(ids + answer_ids[:-1], fact))
        first_label.append(len(ids) - 1 - fact)
    ids, fact = locate_subject(tokenizer, DRIFT, request.subject)
    return Example([*texts, Text(ids[: fact + 1], fact)], first_label, answer_ids)


@dataclass(frozen=True)
class Batch:
    """The texts of N facts, row by row.

    fact_R: fact of each row. row_L, position_L, token_L: where each label is read and what it is; weight_L: its share
    in its fact's mean of means. drift_N: each fact's drift row. lens: layer whose output the NLL is read from.
    """

    suffixes: Suffixes
    fact_R: torch.Tensor
    row_L: torch.Tensor
    position_L: torch.Tensor
    token_L: torch.Tensor
    weight_L: torch.Tensor
    drift_N: torch.Tensor
    lens: int

    def facts(self, index_N: torch.Tensor) -> "Batch":
        """The batch of some of its facts (ascending), renumbered."""
        count = len(self.drift_N)
        new_fact = torch.full((count,), -1, device=index_N.device)
        new_fact[index_N] = torch.arange(len(index_N), device=index_N.device)
        rows = (new_fact[self.fact_R] >= 0).nonzero()[:, 0]
        new_row = torch.full((len(self.fact_R),), -1, device=index_N.device)
        new_row[rows] = torch.arange(len(rows), device=index_N.device)
        labels = (new_row[self.row_L] >= 0).nonzero()[:, 0]
        return Batch(
            self.suffixes.rows(rows),
            new_fact[self.fact_R[rows]],
            new_row[self.row_L[labels]],
            self.position_L[labels],
            self.token_L[labels],
            self.weight_L[labels],
            new_row[self.drift_N[index_N]],
            self.lens,
        )


def assemble(model: PreTrainedModel, examples: Sequence[Example], layer: int, lens: int) -> Batch:
    """Cut all texts at their fact's position and note where the loss reads."""
    texts, facts, labels, drift = [], [], [], []
    for number, one in enumerate(examples):
        share = 1 / (len(one.first_label) * len(one.answer))
        for text, start in zip(one.texts, one.first_label, strict=False):
            labels += [(len(texts), start + i, token, share) for i, token in enumerate(one.answer)]
            texts.append(text)
        drift.append(len(texts))
        texts.append(one.texts[-1])
        facts += [number] * len(one.texts)
    row, position, token, weight = zip(*labels, strict=True)
    suffixes = cut(model, texts, layer)

    def index(values):
        return torch.tensor(values, device=suffixes.hidden_RSO.device)

    return Batch(suffixes, index(facts), index(row), index(position), index(token), index(weight), index(drift), lens)


def evaluate(
    model: PreTrainedModel, batch: Batch, delta_NO: torch.Tensor, hparams: TargetHParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Per-fact NLL (N,) and drift log-probabilities (N, V) with δ (float32) added at every row's fact position."""
    hidden = batch.suffixes.hidden_RSO
    at_fact = (hidden[:, 0].float() + delta_NO[batch.fact_R]).to(hidden.dtype)
    hidden = torch.cat([at_fact[:, None], hidden[:, 1:]], dim=1)
    last = layer_count(model) - 1
    outputs = run_above(model, batch.suffixes, hidden, (batch.lens, last))
    norm, head = module(model, hparams.ln_f_module), module(model, hparams.lm_head_module)

    def log_probabilities(read: torch.Tensor) -> torch.Tensor:
        return project(model, norm(read), head).log_softmax(-1)

    labels = log_probabilities(outputs[batch.lens][batch.row_L, batch.position_L])
    nll_L = -labels.gather(1, batch.token_L[:, None].to(labels.device))[:, 0].to(delta_NO.device)
    nll_N = torch.zeros_like(delta_NO[:, 0]).index_add(0, batch.fact_R[batch.row_L], nll_L * batch.weight_L)
    return nll_N, log_probabilities(outputs[last][batch.drift_N, 0]).to(delta_NO.device)


def penalties(
    drift_NV: torch.Tensor,
    drift0_NV: torch.Tensor,
    delta_NO: torch.Tensor,
    anchor_norm_N: torch.Tensor,
    hparams: TargetHParams,
) -> torch.Tensor:
    """kl_factor · KL(p_δ ‖ p_0) + v_weight_decay · ‖δ‖ / ‖a‖² per fact, (N,)."""
    divergence = (drift_NV.exp() * (drift_NV - drift0_NV)).sum(1)
    decay = torch.linalg.vector_norm(delta_NO, dim=1) / anchor_norm_N**2
    return hparams.kl_factor * divergence + hparams.v_weight_decay * decay
