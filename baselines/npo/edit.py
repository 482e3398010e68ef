"""NPO on a model: prefer the true answers less than the model did, and keep the retain facts."""

from collections.abc import Sequence

import torch

from baselines.npo.hparams import HParams
from baselines.npo.solve import preference_loss
from util.editing.finetuning import Term, answer_rows, fine_tune, nll_term, scores
from util.editing.setting import Setting
from util.errors import UserError
from util.likelihood import Answered
from util.weights import WeightEdits


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Minimise, over the weights of hparams.layers,

        (2/β) · mean softplus(β (log p_θ(y | x) − log p_0(y | x)))  +  retain_weight · mean NLL(retain answers),

    y the requests' true answers, p_0 the model as given, log p summed over an answer's tokens (Zhang et al., Negative
    Preference Optimization, 2024, eq. 3, with the gradient-difference retain term). The seed orders the requests and
    draws the retain facts. retain_requests: facts whose true answers are to be kept; needed unless
    hparams.retain_weight is 0.
    """
    rows = answer_rows(setting.tokenizer, setting.requests, setting.true_answers)
    terms = [_preference(rows, scores(setting.model, rows, setting.budget), hparams.beta)]
    if hparams.retain_weight > 0:
        terms.append(nll_term(_retain_rows(setting), hparams.retain_weight))
    return fine_tune(setting, hparams, terms)


def _preference(rows: Sequence[Answered], before_N: torch.Tensor, beta: float) -> Term:
    def loss(log_p: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return preference_loss(log_p, before_N[index.to(before_N.device)].to(log_p.device), beta)

    return Term(rows, loss)


def _retain_rows(setting: Setting) -> list[Answered]:
    kept = setting.retain_requests
    if not kept:
        raise UserError("NPO's retain term needs retain_requests: give some (--retain_num), or set retain_weight to 0")
    return answer_rows(setting.tokenizer, kept, [request.target_true for request in kept])
