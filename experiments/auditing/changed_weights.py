"""The matrices of a model that an attack on weights works on."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from experiments.auditing.context import NotPossible
from util.modeling import decoder_layers
from util.weights import read_weight


def layer_matrices(model: PreTrainedModel) -> list[str]:
    """Names of the linear modules inside the decoder layers, in the model's order."""
    inside = {part for layer in decoder_layers(model) for part in layer.modules()}
    return [name for name, part in model.named_modules() if part in inside and isinstance(part, nn.Linear | Conv1D)]


def changed_matrices(before: PreTrainedModel, after: PreTrainedModel) -> list[str]:
    """Those whose weights differ between the two models: what was edited. NotPossible where none is."""
    names = [
        name
        for name in layer_matrices(after)
        if not torch.equal(read_weight(before, name).to("cpu"), read_weight(after, name).to("cpu"))
    ]
    if not names:
        raise NotPossible("no linear weight of the decoder layers differs between the models")
    return names
