"""The one loop over layers of the locate-then-edit methods.

Shape letters: O out (hidden size), I in (intermediate size), N facts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from util.editing.guard import check_edits
from util.editing.keys import ModuleSite
from util.editing.passage import measure
from util.editing.setting import Moments, Setting
from util.errors import UserError
from util.forward import check_logits
from util.hparams import LayerHParams, MomentHParams, TargetHParams
from util.modeling import layer_count, refuse_unfit
from util.progress import progress_bar
from util.request import Request
from util.weights import WeightEdits, read_weight


@dataclass(frozen=True)
class LayerProblem:
    """What a closed form sees of one layer, on the model as edited so far.

    W_OI: the weight. K_IN: the facts' keys. R_ON: the residual this layer is to make at the target layer, (Z − H)
    divided by the layers left (see `Passage.back` for models that scale or norm the module's output). C_II: second
    moment of the module's inputs on the unedited model. U_ON: target values of the sensitive answers, None unless asked
    for. All on the weight's device, whatever the model is spread over.
    """

    name: str
    W_OI: torch.Tensor
    K_IN: torch.Tensor
    R_ON: torch.Tensor
    C_II: torch.Tensor
    U_ON: torch.Tensor | None


def edit_layers(
    setting: Setting,
    hparams: MomentHParams,
    solve: Callable[[LayerProblem], torch.Tensor],
    *,
    sensitive: bool = False,
) -> WeightEdits:
    """Edit hparams.layers bottom up: `solve` turns each LayerProblem into the layer's new weight (O, I).

    Targets z are found once, on the unedited model, at the last edited layer; keys, hidden states and (with
    `sensitive`) the true answers' target values anew at every layer. If anything fails, every weight is put back.
    """
    edits = WeightEdits()
    with edits.timed("statistics"):
        C = check_moments(setting.model, hparams, setting.moments)
    with edits.undone_on_failure(setting.model):
        with edits.timed("targets"):
            found = setting.targets(hparams, setting.neutral_answers, hparams.layers[-1], "layer")
        edits.diagnostics["target_loss"] = found.losses()
        edits.diagnostics["target_steps"] = [int(steps) for steps in found.steps_N]
        for done, layer in enumerate(
            progress_bar(hparams.layers, desc="layers", progress=setting.progress, leave=False)
        ):
            left = len(hparams.layers) - done
            problem = _problem(setting, hparams, edits, found.values_ON, layer, left, C, sensitive)
            with edits.timed("solve"):
                edits.write(setting.model, problem.name, solve(problem))
                edits.keys[problem.name] = problem.K_IN.cpu()
    return edits


def _problem(
    setting: Setting,
    hparams: MomentHParams,
    edits: WeightEdits,
    Z_ON: torch.Tensor,
    layer: int,
    layers_left: int,
    C: Moments,
    sensitive: bool,
) -> LayerProblem:
    name = hparams.rewrite_module(layer)
    with edits.timed("keys"):
        K_IN = setting.keys(name, hparams.key_contexts)
        H_ON = setting.at_subject(ModuleSite(hparams.layer_module_tmp.format(hparams.layers[-1])))
        R_ON = (Z_ON - H_ON) / layers_left
        passage = measure(setting.model, layer, name)
        if passage is not None:
            R_ON = passage.back(setting.at_subject(ModuleSite(name)), R_ON)
    U_ON = None
    if sensitive:
        with edits.timed("targets"):
            how = hparams.sensitive_target
            U_ON = setting.targets(hparams, setting.true_answers, layer, "module", target=how).values_ON
    W_OI = read_weight(setting.model, name)
    here = W_OI.device
    U_ON = U_ON.to(here) if U_ON is not None else None
    return LayerProblem(name, W_OI, K_IN.to(here), R_ON.to(here), C[name].to(here), U_ON)


def check_requests(requests: Sequence[Request]) -> None:
    """UserError when there is nothing to forget."""
    if not requests:
        raise UserError("no requests: give at least one fact to forget")


def check_layers(model: PreTrainedModel, hparams: LayerHParams) -> None:
    """UserError when a layer of the hparams is not in the model, or what is to be edited is no linear layer.

    Also for a model that is not run as it runs itself, or whose parts do not do what an edit takes them to do: see
    `check_logits` and `check_edits`, which try both on a short text.
    """
    refuse_unfit(model)
    count = layer_count(model)
    named = {"layers": hparams.layers, "v_loss_layer": [getattr(hparams, "v_loss_layer", 0)]}
    for key, layers in named.items():
        if max(layers) >= count:
            raise UserError(
                f"hparams {key} names layer {max(layers)}, but {type(model).__name__} has layers 0 to {count - 1}; "
                f"correct {key} in the hparams"
            )
    for name in hparams.rewrite_modules():
        read_weight(model, name)
    check_logits(model)
    if isinstance(hparams, TargetHParams):
        check_edits(model, hparams)


def check_moments(model: PreTrainedModel, hparams: LayerHParams, moments: Moments | None) -> dict[str, torch.Tensor]:
    """C of every edited module, all looked up before the first edit. UserError when one lacks or has a wrong shape."""
    if moments is None:
        raise UserError(
            "this method needs moments: pass moments=util.editing.statistics.CorpusMoments(...) or a mapping from "
            "module name to E[k kᵀ]"
        )
    found = {}
    for name in hparams.rewrite_modules():
        if name not in moments:
            raise UserError(f"moments lack module {name!r} (they have {', '.join(moments)}); measure it too")
        size = read_weight(model, name).shape[1]
        if tuple(moments[name].shape) != (size, size):
            raise UserError(f"the moment of {name!r} has shape {tuple(moments[name].shape)}, expected ({size}, {size})")
        found[name] = moments[name]
    return found
