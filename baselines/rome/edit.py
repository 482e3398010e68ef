"""ROME on a model: fact after fact, target → closed form → weight."""

from dataclasses import replace

import torch

from baselines.rome.hparams import HParams
from baselines.rome.solve import solve
from util.editing.contexts import flatten
from util.editing.keys import ModuleSite
from util.editing.layers import check_moments
from util.editing.setting import Setting
from util.progress import progress_bar
from util.weights import WeightEdits, read_weight


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Request after request, each on the model as edited so far, its prompt leads to its `target_new`.

    moments: not read where hparams.mom2_adjustment is false. context_templates: ROME takes the plain mean over all.
    Every requested fact is edited (the published release edits only the first, which is why its row equals Base). The
    target is a + δ with a the module's output in the plain prompt, so that the residual v* − W k is δ, bias or not.
    """
    model, name, edits = setting.model, hparams.rewrite_module(hparams.layers[0]), WeightEdits()
    factor_II = _factor(setting, hparams, name, edits)
    alone = replace(setting, context_templates=[flatten(setting.templates)], progress=False)
    W_OI = read_weight(model, name).double()
    edits.diagnostics |= {"target_loss": [], "target_steps": []}
    with edits.undone_on_failure(model):
        for request in progress_bar(setting.requests, desc="facts", progress=setting.progress, leave=False):
            W_OI = W_OI + _change(replace(alone, requests=[request]), hparams, name, factor_II, edits)
            edits.write(model, name, W_OI)
    return edits


def _factor(setting: Setting, hparams: HParams, name: str, edits: WeightEdits) -> torch.Tensor | None:
    """Cholesky factor (I, I) of the second moment, on the weight's device; None without the adjustment."""
    if not hparams.mom2_adjustment:
        return None
    with edits.timed("statistics"):
        C_II = check_moments(setting.model, hparams, setting.moments)[name]
    home = read_weight(setting.model, name).device
    with edits.timed("solve"):
        return setting.moment_factor(name, C_II.to(home), hparams.mom2_ridge)


def _change(
    setting: Setting, hparams: HParams, name: str, factor_II: torch.Tensor | None, edits: WeightEdits
) -> torch.Tensor:
    """Δ (O, I) for the setting's one request."""
    with edits.timed("keys"):
        mean_key_I = setting.keys(name, hparams.key_contexts)[:, 0]
        key_I = setting.at_subject(ModuleSite(name, inputs=True))[:, 0]
    with edits.timed("targets"):
        found = setting.targets(hparams, setting.neutral_answers, hparams.layers[0], "module", final_logits=True)
    edits.diagnostics["target_loss"] += found.losses()
    edits.diagnostics["target_steps"] += [int(steps) for steps in found.steps_N]
    with edits.timed("solve"):
        return solve(mean_key_I, key_I, (found.values_ON - found.anchors_ON)[:, 0], factor_II)
