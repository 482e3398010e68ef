"""AlphaEdit on a model: targets → layer problems → closed form → weights."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baselines.alphaedit.hparams import HParams
from baselines.alphaedit.solve import solve
from util.editing.contexts import Templates
from util.editing.layers import LayerProblem, Moments, edit_layers, kept, prepare
from util.linalg import null_space_projector
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

    moments: module name → E[k kᵀ] of the unedited model. context_templates: groups of templates; None generates them
    from `seed`. previous: the edits of the step before; the keys written by it and by the steps before it are
    protected (`edits.keys` carries them on). retain_requests is accepted for the common signature and not needed
    here. Returns the edits, whose `undo` is bit-exact. Raises UserError on bad input and when no eigenvalue of a
    moment is at or below the threshold, with no weight changed. (The released code takes eigenvalues strictly below
    it.)
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
    earlier = previous.keys if previous is not None else {}
    edits = edit_layers(setting, moments, lambda problem: _new_weight(problem, hparams, moments, earlier))
    for name, keys_IP in earlier.items():
        edits.keys[name] = torch.cat([keys_IP, edits.keys[name]], dim=1) if name in edits.keys else keys_IP
    return edits


def _new_weight(
    problem: LayerProblem, hparams: HParams, moments: Moments, earlier: dict[str, torch.Tensor]
) -> torch.Tensor:
    K, C = problem.K_IN, problem.C_II
    threshold, relative = hparams.nullspace_threshold, hparams.nullspace_relative
    key = ("null space", problem.name, threshold, relative)
    projector_II = kept(moments, key, lambda: null_space_projector(C, threshold, relative))
    earlier_IP = earlier[problem.name].to(K.device) if problem.name in earlier else K[:, :0]
    return problem.W_OI + solve(K, problem.R_ON, projector_II, earlier_IP, ridge=hparams.L2)
