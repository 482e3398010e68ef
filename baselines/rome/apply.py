"""ROME on a model: fact after fact, target → closed form → weight."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baselines.rome.hparams import HParams
from baselines.rome.solve import solve
from util.editing.contexts import Templates, flatten
from util.editing.keys import ModuleSite
from util.editing.layers import Moments, Setting, check_moments, kept, prepare
from util.linalg import spd_factor
from util.request import Request
from util.weights import WeightEdits, read_weight


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
    """Edit `model` in place, request after request, each on the model as edited so far.

    moments: module name → E[k kᵀ] of the unedited model; not read where hparams.mom2_adjustment is false.
    context_templates: groups of templates, of which ROME takes the plain mean over all; None generates them from
    `seed`. retain_requests and previous are accepted for the common signature and not needed here. Returns the edits,
    whose `undo` is bit-exact. Raises UserError on bad input, with no weight changed.

    Every requested fact is edited (the published release edits only the first, which is why its row equals Base). The
    target is a + δ with a the module's output in the plain prompt, so that the residual v* − W k is δ, bias or not.
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
    setting = replace(setting, templates=[flatten(setting.templates)], progress=False)
    name, edits = hparams.rewrite_module(hparams.layers[0]), WeightEdits()
    factor_II, home = None, read_weight(model, name).device
    if hparams.mom2_adjustment:
        with edits.timed("statistics"):
            C_II = check_moments(model, hparams, moments)[name]
        with edits.timed("solve"):
            factor_II = kept(
                moments, ("factor", name), lambda: spd_factor(C_II.to(home), f"the second moment of {name}")
            )
    W_OI = read_weight(model, name).double()
    edits.diagnostics |= {"target_loss": [], "target_steps": []}
    try:
        for request in tqdm(requests, desc="facts", disable=not progress, leave=False):
            W_OI = W_OI + _change(replace(setting, requests=[request]), name, factor_II, edits)
            edits.write(model, name, W_OI)
    except BaseException:
        edits.undo(model)
        raise
    return edits


def _change(setting: Setting, name: str, factor_II: torch.Tensor | None, edits: WeightEdits) -> torch.Tensor:
    """Δ (O, I) for the setting's one request."""
    with edits.timed("keys"):
        mean_key_I = setting.keys(name)[:, 0]
        key_I = setting.at_subject(ModuleSite(name, inputs=True))[:, 0]
    with edits.timed("targets"):
        answers = [request.target_new for request in setting.requests]
        found = setting.targets(answers, setting.hparams.layers[0], "module", final_logits=True)
    edits.diagnostics["target_loss"] += found.loss_N.tolist()
    edits.diagnostics["target_steps"] += [int(steps) for steps in found.steps_N]
    with edits.timed("solve"):
        return solve(mean_key_I, key_I, (found.values_ON - found.anchors_ON)[:, 0], factor_II)
