"""The loss of the target optimisation, for many facts in one batch.

Shape letters: N facts, R rows (one text each), S suffix positions, L label positions, D drift rows, O hidden size,
V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.contexts import Templates, fill, flatten
from util.editing.suffixes import Entry, FactText, Suffixes, WholeTexts, cut
from util.forward import project
from util.hparams import TargetHParams
from util.modeling import layer_count, module
from util.request import Request
from util.tokens import locate_subject, subject_and_answer

DRIFT = "{} is a"


@dataclass(frozen=True)
class Example:
    """One fact's texts: a prompt in each context followed by the answer but for its last token, then the drift text.

    first_label, answers: per context text, the suffix position whose next token is the answer's first, and the answer's
    tokens. The drift text ends at its subject: only the distribution there is read.
    """

    texts: list[FactText]
    first_label: list[int]
    answers: list[list[int]]


def example(tokenizer: PreTrainedTokenizerBase, request: Request, answer: str, templates: Templates) -> Example:
    """Tokenise one request for one answer."""
    texts, first_label, answers = [], [], []
    for template in flatten(templates):
        ids, answer_ids, _, fact = subject_and_answer(
            tokenizer, fill(template, request), request.subject, answer, request.answer_prefix
        )
        texts.append(FactText(ids + answer_ids[:-1], fact))
        first_label.append(len(ids) - 1 - fact)
        answers.append(answer_ids)
    ids, fact = locate_subject(tokenizer, request.frame.around(DRIFT), request.subject)
    return Example([*texts, FactText(ids[: fact + 1], fact)], first_label, answers)


@dataclass(frozen=True)
class SuffixPart:
    """Texts of similar suffix length, row by row.

    fact_R: fact of each row. row_L, position_L, token_L: where each label is read and what it is; weight_L: its share
    in its fact's mean of means. drift_D, drift_fact_D: drift rows and their facts.
    """

    suffixes: Suffixes | WholeTexts
    fact_R: torch.Tensor
    row_L: torch.Tensor
    position_L: torch.Tensor
    token_L: torch.Tensor
    weight_L: torch.Tensor
    drift_D: torch.Tensor
    drift_fact_D: torch.Tensor

    def facts(self, new_fact_N: torch.Tensor) -> "SuffixPart | None":
        """The rows of the facts whose new number is not −1, renumbered; None when there are none."""
        rows = (new_fact_N[self.fact_R] >= 0).nonzero()[:, 0]
        if len(rows) == 0:
            return None
        new_row = torch.full_like(self.fact_R, -1)
        new_row[rows] = torch.arange(len(rows), device=rows.device)
        labels = (new_row[self.row_L] >= 0).nonzero()[:, 0]
        drift = (new_row[self.drift_D] >= 0).nonzero()[:, 0]
        return SuffixPart(
            self.suffixes.rows(rows),
            new_fact_N[self.fact_R[rows]],
            new_row[self.row_L[labels]],
            self.position_L[labels],
            self.token_L[labels],
            self.weight_L[labels],
            new_row[self.drift_D[drift]],
            new_fact_N[self.drift_fact_D[drift]],
        )


@dataclass(frozen=True)
class SearchBatch:
    """The texts of `count` facts in parts; lens: layer whose output the NLL is read from."""

    parts: list[SuffixPart]
    count: int
    lens: int

    def facts(self, index_N: torch.Tensor) -> "SearchBatch":
        """The batch of some of its facts (ascending), renumbered."""
        new_fact_N = torch.full((self.count,), -1, device=index_N.device)
        new_fact_N[index_N] = torch.arange(len(index_N), device=index_N.device)
        parts = (part.facts(new_fact_N) for part in self.parts)
        return SearchBatch([part for part in parts if part is not None], len(index_N), self.lens)


@dataclass(frozen=True)
class _TextRow:
    text: FactText
    fact: int
    labels: list[tuple[int, int, float]]


def assemble(model: PreTrainedModel, examples: Sequence[Example], entry: Entry, lens: int) -> SearchBatch:
    """Cut all texts at their fact's position and note where the loss reads.

    Suffixes are put together by length (1, up to 4, up to 8, …), so that little is computed on padding: drift texts end
    at their subject, and prompts go on after it for a few tokens or for many.
    """
    parts: dict[int, list[_TextRow]] = {}
    for fact, one in enumerate(examples):
        asked = [*zip(one.first_label, one.answers, strict=True), (0, [])]
        for text, (start, answer) in zip(one.texts, asked, strict=True):
            labels = [(start + i, token, 1 / (len(one.answers) * len(answer))) for i, token in enumerate(answer)]
            parts.setdefault(_length_class(len(text.ids) - text.fact), []).append(_TextRow(text, fact, labels))
    return SearchBatch([_part(model, rows, entry) for _, rows in sorted(parts.items())], len(examples), lens)


def _length_class(length: int) -> int:
    return 0 if length == 1 else max(2, (length - 1).bit_length())


def _part(model: PreTrainedModel, rows: Sequence[_TextRow], entry: Entry) -> SuffixPart:
    suffixes = cut(model, [row.text for row in rows], entry)
    labels = [(number, *label) for number, row in enumerate(rows) for label in row.labels]
    drift = [(number, row.fact) for number, row in enumerate(rows) if not row.labels]

    def column(values: Sequence[tuple], which: int, dtype: torch.dtype = torch.long) -> torch.Tensor:
        return torch.tensor([value[which] for value in values], dtype=dtype, device=suffixes.device)

    return SuffixPart(
        suffixes,
        column([(row.fact,) for row in rows], 0),
        column(labels, 0),
        column(labels, 1),
        column(labels, 2),
        column(labels, 3, torch.float32),
        column(drift, 0),
        column(drift, 1),
    )


def evaluate(
    model: PreTrainedModel, batch: SearchBatch, delta_NO: torch.Tensor, hparams: TargetHParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """Per-fact NLL (N,) and drift log-probabilities (N, V) with δ (float32) added at every row's fact position."""
    nll_N, drift = torch.zeros_like(delta_NO[:, 0]), []
    for part in batch.parts:
        nll_L, drift_DV = _read(model, part, batch.lens, delta_NO, hparams)
        nll_N = nll_N.index_add(0, part.fact_R[part.row_L], nll_L * part.weight_L)
        drift.append(drift_DV)
    facts = torch.cat([part.drift_fact_D for part in batch.parts])
    return nll_N, torch.cat(drift)[facts.argsort()]


def _read(
    model: PreTrainedModel, part: SuffixPart, lens: int, delta_NO: torch.Tensor, hparams: TargetHParams
) -> tuple[torch.Tensor, torch.Tensor]:
    """NLL of the part's labels (L,) and log-probabilities of its drift rows (D, V)."""
    last = layer_count(model) - 1
    outputs = part.suffixes.outputs(model, delta_NO[part.fact_R], (lens, last))
    norm = module(model, hparams.ln_f_module)

    def log_probabilities(read: torch.Tensor) -> torch.Tensor:
        return project(model, norm(read)).log_softmax(-1)

    at_lens, at_last = outputs[lens], outputs[last]
    labels = log_probabilities(at_lens[part.row_L.to(at_lens.device), part.position_L.to(at_lens.device)])
    nll_L = -labels.gather(1, part.token_L[:, None].to(labels.device))[:, 0]
    drift_DV = log_probabilities(at_last[part.drift_D.to(at_last.device), 0])
    return nll_L.to(delta_NO.device), drift_DV.to(delta_NO.device)


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
