"""MEMIT on a model: targets → layer problems → closed form → weights."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baselines.memit.hparams import HParams
from baselines.memit.solve import solve
from util.editing.contexts import Templates
from util.editing.layers import LayerProblem, Moments, edit_layers, kept, prepare
from util.linalg import spd_factor
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
    """Edit `model` in place so that each request's prompt leads to its `target_new`.

    moments: module name → E[k kᵀ] of the unedited model; it must be positive definite. context_templates: groups of
    templates; None generates them from `seed`. retain_requests and previous are accepted for the common signature and
    not needed here. Returns the edits, whose `undo` is bit-exact. Raises UserError on bad input, with no weight
    changed.
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
    return edit_layers(setting, moments, lambda problem: _new_weight(problem, hparams, moments))


def _new_weight(problem: LayerProblem, hparams: HParams, moments: Moments) -> torch.Tensor:
    what = f"the second moment of {problem.name}"
    factor = kept(moments, ("factor", problem.name), lambda: spd_factor(problem.C_II, what))
    return problem.W_OI + solve(problem.K_IN, problem.R_ON, factor, a=hparams.mom2_update_weight)
