"""NPO on a model: prefer the true answers less than the model did, and keep the retain facts."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baselines.npo.hparams import HParams
from util.editing.contexts import Templates
from util.editing.finetuning import Row, Term, answer_rows, fine_tune, nll_term, scores
from util.editing.layers import Moments, check_layers, check_requests
from util.errors import UserError
from util.modeling import default_batch_tokens
from util.request import Request
from util.weights import WeightEdits


def apply_to_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    hparams: HParams,
    *,
    moments: Moments | None = None,
    context_templates: Templates | None = None,
    retain_requests: Sequence[Request] = (),
    previous: WeightEdits | None = None,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: bool = False,
) -> WeightEdits:
    """Edit `model` in place by minimising, over the weights of hparams.layers,

        (2/β) · mean softplus(β (log p_θ(y | x) − log p_0(y | x)))  +  retain_weight · mean NLL(retain answers),

    y the requests' true answers, p_0 the model as given, log p summed over an answer's tokens (Zhang et al., Negative
    Preference Optimization, 2024, eq. 3, with the gradient-difference retain term).

    retain_requests: facts whose true answers are to be kept; needed unless hparams.retain_weight is 0. seed: order of
    the requests and draw of the retain facts. moments, context_templates and previous are accepted for the common
    signature and not needed here. Returns the edits, whose `undo` is bit-exact. Raises UserError on bad input, with
    no weight changed.
    """
    check_requests(requests)
    check_layers(model, hparams)
    rows = answer_rows(tokenizer, requests, [request.target_true for request in requests])
    parts = [_preference(rows, scores(model, rows, batch_tokens or default_batch_tokens(model)), hparams.beta)]
    if hparams.retain_weight > 0:
        parts.append(nll_term(_retain_rows(tokenizer, retain_requests), hparams.retain_weight))
    return fine_tune(model, hparams, parts, seed=seed, batch_tokens=batch_tokens, progress=progress)


def _preference(rows: Sequence[Row], before_N: torch.Tensor, beta: float) -> Term:
    """(2/β) softplus(β (log p_θ − log p_0)) per row, which is −(2/β) log σ(−β log(p_θ / p_0))."""

    def loss(log_p: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        ratio = log_p - before_N[index.to(before_N.device)].to(log_p.device)
        return 2 / beta * torch.nn.functional.softplus(beta * ratio)

    return Term(rows, loss)


def _retain_rows(tokenizer: PreTrainedTokenizerBase, requests: Sequence[Request]) -> list[Row]:
    if not requests:
        raise UserError("NPO's retain term needs retain_requests: give some (--retain_num), or set retain_weight to 0")
    return answer_rows(tokenizer, requests, [request.target_true for request in requests])
