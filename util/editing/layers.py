"""The one loop over layers of the locate-then-edit methods.

Shape letters: O out (hidden size), I in (intermediate size), N facts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.anatomy import refuse_unfit
from util.editing.contexts import Templates, check, generate
from util.editing.guard import check_edits
from util.editing.keys import ModuleSite, average_keys, plain
from util.editing.passage import measure
from util.editing.targets import Targets, find_targets
from util.errors import UserError
from util.forward import check_logits
from util.hparams import LayerHParams, MomentHParams, TargetHParams
from util.modeling import default_batch_tokens, layer_count
from util.request import Request
from util.weights import WeightEdits, read_weight

Moments = Mapping[str, torch.Tensor]


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


@dataclass(frozen=True)
class Setting:
    """The model, what is to be forgotten, and how; handed through the steps of an edit."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    requests: Sequence[Request]
    hparams: MomentHParams
    templates: Templates
    batch_tokens: int
    progress: bool

    def targets(self, answers: Sequence[str], layer: int, site: str, **options) -> Targets:
        """`find_targets` for these requests."""
        return find_targets(
            self.model,
            self.tokenizer,
            self.requests,
            answers,
            layer,
            site,
            self.hparams,
            self.templates,
            batch_tokens=self.batch_tokens,
            progress=self.progress,
            **options,
        )

    def keys(self, module_name: str) -> torch.Tensor:
        """K_IN at that module, averaged over the context templates."""
        return average_keys(self.model, self.tokenizer, self.requests, module_name, self.templates, self.batch_tokens)

    def at_subject(self, probe: ModuleSite) -> torch.Tensor:
        """Activations in the plain prompts."""
        return plain(self.model, self.tokenizer, self.requests, probe, self.batch_tokens)


def prepare(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    hparams: MomentHParams,
    *,
    context_templates: Templates | None,
    seed: int,
    batch_tokens: int | None,
    progress: bool,
) -> Setting:
    """Check the input and generate the context templates if none are given. Raises UserError on bad input."""
    check_requests(requests)
    check_layers(model, hparams)
    templates = check(context_templates if context_templates is not None else generate(model, tokenizer, seed))
    return Setting(
        model, tokenizer, requests, hparams, templates, batch_tokens or default_batch_tokens(model), progress
    )


def edit_layers(
    setting: Setting,
    moments: Moments | None,
    solve: Callable[[LayerProblem], torch.Tensor],
    *,
    sensitive: bool = False,
) -> WeightEdits:
    """Edit hparams.layers bottom up: `solve` turns each LayerProblem into the layer's new weight (O, I).

    Targets z are searched once, on the unedited model, at the last edited layer; keys, hidden states and (with
    `sensitive`) the true answers' target values anew at every layer. If anything fails, every weight is put back.
    """
    hparams, edits = setting.hparams, WeightEdits()
    with edits.timed("statistics"):
        C = check_moments(setting.model, hparams, moments)
    try:
        with edits.timed("targets"):
            found = setting.targets([request.target_new for request in setting.requests], hparams.layers[-1], "layer")
        edits.diagnostics["target_loss"] = found.loss_N.tolist()
        edits.diagnostics["target_steps"] = [int(steps) for steps in found.steps_N]
        for done, layer in enumerate(tqdm(hparams.layers, desc="layers", disable=not setting.progress, leave=False)):
            problem = _problem(setting, edits, found.values_ON, layer, len(hparams.layers) - done, C, sensitive)
            with edits.timed("solve"):
                edits.write(setting.model, problem.name, solve(problem))
                edits.keys[problem.name] = problem.K_IN.cpu()
    except BaseException:
        edits.undo(setting.model)
        raise
    return edits


def _problem(
    setting: Setting, edits: WeightEdits, Z_ON: torch.Tensor, layer: int, layers_left: int, C: Moments, sensitive: bool
) -> LayerProblem:
    hparams = setting.hparams
    name = hparams.rewrite_module(layer)
    with edits.timed("keys"):
        K_IN = setting.keys(name)
        H_ON = setting.at_subject(ModuleSite(hparams.layer_module_tmp.format(hparams.layers[-1])))
        R_ON = (Z_ON - H_ON) / layers_left
        passage = measure(setting.model, layer, name)
        if passage is not None:
            R_ON = passage.back(setting.at_subject(ModuleSite(name)), R_ON)
    U_ON = None
    if sensitive:
        with edits.timed("targets"):
            U_ON = setting.targets([request.target_true for request in setting.requests], layer, "module").values_ON
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


def kept(moments: Moments, key: tuple, build: Callable[[], torch.Tensor]) -> torch.Tensor:
    """Something computed from moments, out of their memory where they have one (CorpusMoments), else built.

    The key must hold everything `build` depends on beside the moments and their model.
    """
    return moments.derived(key, build) if hasattr(moments, "derived") else build()
