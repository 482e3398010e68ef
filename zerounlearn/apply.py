"""ZeroUnlearn on a model: targets → layer problems → closed form → weights."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.contexts import Templates
from util.editing.layers import LayerProblem, Moments, edit_layers, kept, prepare
from util.request import Request
from util.weights import WeightEdits, checksums
from zerounlearn.hparams import HParams
from zerounlearn.solve import factor_utility, solve, solve_direct


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
    """Edit `model` in place so that each request's prompt leads to its `target_new` (the neutral state).

    moments: module name → E[k kᵀ] of the unedited model. context_templates: groups of templates; None generates them
    from `seed`. retain_requests and previous are accepted for the common signature and not needed here.
    Returns the edits, whose `undo` is bit-exact. Raises UserError on bad input, with no weight changed.

    A module with a bias (GPT-2) keeps it: D multiplies the weight only.
    """
    setting = prepare(
        model,
        tokenizer,
        requests,
        hparams,
        context_templates=context_templates,
        seed=seed,
        batch_tokens=batch_tokens,
        progress=progress,
    )
    return edit_layers(
        setting, moments, lambda problem: _new_weight(problem, hparams, moments), sensitive=hparams.projector != "none"
    )


def _new_weight(problem: LayerProblem, hparams: HParams, moments: Moments) -> torch.Tensor:
    W, K, R, C = problem.W_OI, problem.K_IN, problem.R_ON, problem.C_II
    U = problem.U_ON if problem.U_ON is not None else W[:, :0]
    a, ridge = hparams.wiki_KKT_lam, hparams.regularization_lam
    projection = {"b": hparams.forget_KKT_lam, "epsilon": hparams.epsilon, "projector": hparams.projector}
    if hparams.solver == "direct":
        return solve_direct(W, K, R, U, C, a=a, ridge=ridge, **projection)
    factor = kept(moments, (problem.name, checksums(W), a, ridge), lambda: factor_utility(W, C, a, ridge))
    return solve(W, K, R, U, factor, **projection)
