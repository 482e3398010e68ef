"""What the locate-then-edit methods take for granted of a model, tried on a short text before the first edit."""

import torch
from transformers import PreTrainedModel

from util.editing.passage import measure
from util.editing.suffixes import Entry, FactText, cut
from util.errors import UserError
from util.forward import FOREIGN, logits_of, noise, probe_ids, project, reason, relative_error
from util.hooks import frozen
from util.hparams import TargetHParams
from util.modeling import decoder_layers, layer_count, module

FACT = 3


@torch.no_grad()
def check_edits(model: PreTrainedModel, hparams: TargetHParams) -> None:
    """UserError where the hparams name parts that do not do what an edit of this model takes them to do.

    Tried are: that each edited module's output reaches the residual stream in a known way (`measure`); that
    layer_module_tmp names the decoder layers and lm_head_module the head; that the model run from the fact's position
    on, its last layer's output and ln_f_module give the model's own logits.
    """
    name = type(model).__name__
    for layer in hparams.layers:
        if module(model, hparams.layer_module_tmp.format(layer)) is not decoder_layers(model)[layer]:
            raise UserError(f"hparams layer_module_tmp {hparams.layer_module_tmp!r} names no decoder layer of {name}")
        measure(model, layer, hparams.rewrite_module(layer))
    if module(model, hparams.lm_head_module) is not model.get_output_embeddings():
        raise UserError(f"hparams lm_head_module {hparams.lm_head_module!r} is not the head of {name}; correct it")
    norm, last, ids = module(model, hparams.ln_f_module), layer_count(model) - 1, probe_ids(model)
    with frozen(model):
        try:
            own = logits_of(model(input_ids=torch.tensor([ids], device=model.device)))[0, FACT:].float()
            kept = cut(model, [FactText(ids, FACT)], Entry(hparams.layers[-1]))
            nothing = torch.zeros(1, model.config.get_text_config().hidden_size, device=model.device)
            ours = project(model, norm(kept.outputs(model, nothing, [last])[last]))[0]
        except (RuntimeError, *FOREIGN) as error:
            raise UserError(f"{name} cannot be run from its layer {hparams.layers[-1]} on: {reason(error)}") from error
    off = relative_error(ours, own, model.dtype)
    if own.isfinite().all() and not off <= noise(model.dtype):
        raise UserError(
            f"the last layer of {name} and ln_f_module {hparams.ln_f_module!r} do not give the model's own logits "
            f"(off by {off:.1e}); correct ln_f_module, or use another model: this family is not supported"
        )
