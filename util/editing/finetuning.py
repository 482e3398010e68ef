"""The one gradient loop of the fine-tuning baselines (FT, GA, NPO).

Answers are teacher-forced (`util.likelihood`): each token of an answer is scored at its own position, given the prompt
and the answer's tokens before it.

Shape letters: N rows (one prompt with its answer each).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.batching import in_batches
from util.editing.setting import Setting
from util.hooks import frozen
from util.hparams import TuningHParams
from util.likelihood import Answered, answer_log_likelihoods, answered
from util.progress import progress_bar
from util.request import Request
from util.weights import WeightEdits


def answer_rows(
    tokenizer: PreTrainedTokenizerBase, requests: Sequence[Request], answers: Sequence[str]
) -> list[Answered]:
    """One row per request, with the answer given for it."""
    pairs = zip(requests, answers, strict=True)
    return [answered(tokenizer, request.text, answer, request.answer_prefix) for request, answer in pairs]


def scores(model: PreTrainedModel, rows: Sequence[Answered], batch_tokens: int) -> torch.Tensor:
    """`answer_log_likelihoods` of any number of rows, in batches and without gradient."""
    found = torch.zeros(len(rows), device=model.device)

    def read(group: list[int]) -> torch.Tensor:
        return answer_log_likelihoods(model, [rows[i] for i in group])

    with torch.no_grad(), frozen(model):
        for group, log_p in in_batches([len(row.ids) for row in rows], batch_tokens, read):
            found[group] = log_p.to(found.device)
    return found


@dataclass(frozen=True)
class Term:
    """A term of the objective: weight · mean over its rows of loss(Σ log p (n,), indices of those rows (n,)).

    `loss` returns one value per row, (n,).
    """

    rows: Sequence[Answered]
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    weight: float = 1.0


def nll_term(rows: Sequence[Answered], weight: float = 1.0) -> Term:
    """The mean over rows of the mean NLL of the answer's tokens; a negative weight climbs it."""
    tokens_N = torch.tensor([len(row.answer) for row in rows])
    return Term(rows, lambda log_p, index: -log_p / tokens_N[index].to(log_p.device), weight)


@dataclass(frozen=True)
class _Run:
    model: PreTrainedModel
    weights: list[nn.Parameter]
    hparams: TuningHParams
    parts: Sequence[Term]
    enough: Callable[[float], bool]
    generator: torch.Generator
    batch_tokens: int
    progress: bool


def fine_tune(
    setting: Setting,
    hparams: TuningHParams,
    parts: Sequence[Term],
    *,
    enough: Callable[[float], bool] = lambda _nll: False,
) -> WeightEdits:
    """Minimise the sum of the parts by Adam(lr) over the weights of hparams.layers; everything else stays as it is.

    One epoch goes through the first part's rows in mini-batches of batch_size, in an order drawn from the setting's
    seed; each step takes as many rows of every other part, drawn anew. `enough` gets the first part's NLL (mean per
    token, then per row): a mini-batch that has enough takes no step, and an epoch whose mean has enough is the last.
    With norm_constraint every weight is kept that close to its start. A gradient that is not finite ends the run before
    it is used, so that the weights stay finite.

    Adam works on copies in float32 (or the weights' dtype where that is finer), which the model's weights are rounded
    from after each step. The model runs in eval mode. If anything fails, every weight is put back.
    diagnostics: ``nll``, the first part's mean of each epoch; ``stopped``: ``enough``, ``not finite`` or ``num_steps``.
    """
    model, names, edits = setting.model, hparams.rewrite_modules(), WeightEdits()
    for name in names:
        edits.remember(model, name)
    generator = torch.Generator().manual_seed(setting.seed)
    with edits.undone_on_failure(model), edits.timed("solve"), _learning(model, names) as weights:
        run = _Run(model, weights, hparams, parts, enough, generator, setting.budget, setting.progress)
        edits.diagnostics["stopped"], edits.diagnostics["nll"] = _descend(run)
    return edits


@contextmanager
def _learning(model: PreTrainedModel, names: Sequence[str]) -> Iterator[list[nn.Parameter]]:
    """The model in eval mode with gradients for the named modules' weights alone."""
    weights = [model.get_parameter(f"{name}.weight") for name in names]
    with frozen(model):
        try:
            for weight in weights:
                weight.requires_grad_(True)
            yield weights
        finally:
            for weight in weights:
                weight.requires_grad_(False)


def _descend(run: _Run) -> tuple[str, list[float]]:
    """All epochs; why they ended, and the first part's mean NLL of each."""
    copies = [weight.detach().to(torch.promote_types(weight.dtype, torch.float32), copy=True) for weight in run.weights]
    starts = [copy.clone() for copy in copies] if run.hparams.norm_constraint is not None else []
    adam = torch.optim.Adam(copies, lr=run.hparams.lr)
    history: list[float] = []
    for _ in progress_bar(range(run.hparams.num_steps), desc="epochs", progress=run.progress, leave=False):
        total = 0.0
        for picked in _mini_batches(run):
            nll, gradients = _gradients(run, picked)
            if not all(gradient.isfinite().all() for gradient in gradients):
                return "not finite", history
            total += nll * len(picked[0])
            if run.enough(nll):
                continue
            for copy, gradient in zip(copies, gradients, strict=True):
                copy.grad = gradient
            adam.step()
            _write(run, copies, starts)
        history.append(total / len(run.parts[0].rows))
        if run.enough(history[-1]):
            return "enough", history
    return "num_steps", history


@torch.no_grad()
def _write(run: _Run, copies: list[torch.Tensor], starts: list[torch.Tensor]) -> None:
    """Clamp the copies around their start where asked to, and round them into the model."""
    limit = run.hparams.norm_constraint
    if limit is not None:
        for copy, start in zip(copies, starts, strict=True):
            copy.clamp_(start - limit, start + limit)
    for weight, copy in zip(run.weights, copies, strict=True):
        weight.copy_(copy)


def _mini_batches(run: _Run) -> Iterator[list[list[int]]]:
    """Rows of each part, step by step through one epoch of the first."""
    first, *others = (len(part.rows) for part in run.parts)
    size = run.hparams.batch_size
    for picked in torch.randperm(first, generator=run.generator).split(size):
        yield [picked.tolist(), *(torch.randperm(n, generator=run.generator)[:size].tolist() for n in others)]


def _gradients(run: _Run, picked: list[list[int]]) -> tuple[float, list[torch.Tensor]]:
    """The first part's NLL and the objective's gradients, added up over batches within the token budget.

    Running out of GPU memory halves the batches and goes on.
    """
    totals = [
        torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32)) for weight in run.weights
    ]
    nll = 0.0
    for number, (part, indices) in enumerate(zip(run.parts, picked, strict=True)):
        rows = [part.rows[i] for i in indices]
        work = partial(_backward, run, part, indices)
        for group, (log_p_N, gradients) in in_batches([len(row.ids) for row in rows], run.batch_tokens, work):
            for total, gradient in zip(totals, gradients, strict=True):
                total += gradient
            if number == 0:
                shares = zip(group, log_p_N.tolist(), strict=True)
                nll += sum(-log_p / len(rows[i].answer) for i, log_p in shares) / len(rows)
    return nll, totals


def _backward(
    run: _Run, part: Term, indices: list[int], group: list[int]
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Σ log p of some of the rows `indices` of a part, and the gradients of their share of the objective."""
    chosen = [indices[i] for i in group]
    log_p_N = answer_log_likelihoods(run.model, [part.rows[i] for i in chosen])
    loss = part.weight / len(indices) * part.loss(log_p_N, torch.tensor(chosen)).sum()
    return log_p_N.detach(), torch.autograd.grad(loss, run.weights)
