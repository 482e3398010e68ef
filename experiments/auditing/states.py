"""Hidden states of a model at the last token of prompts, and other models' heads to read them with.

Shape letters: B rows, T tokens, O hidden size, L decoder layers, N rows in all, P positions of a row, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from util.batching import in_batches
from util.forward import final_hidden, project
from util.hooks import by_row, capture, frozen
from util.likelihood import Ids
from util.modeling import decoder_layers, module, module_names
from util.tokens import pad


def states_after_layers(
    model: PreTrainedModel, rows: Sequence[Ids], positions: Sequence[Sequence[int]], batch_tokens: int
) -> list[torch.Tensor]:
    """What every decoder layer passes on, (L, P, O) on the CPU, per row at its positions."""
    layers = dict(enumerate(decoder_layers(model)))
    found: dict[int, torch.Tensor] = {}

    def read(group: list[int]) -> list[torch.Tensor]:
        with capture(layers) as seen:
            final_hidden(model, pad([rows[i] for i in group], device=model.device))
        states_LBTO = torch.stack([by_row(seen[layer], len(group)).cpu() for layer in layers])
        return [states_LBTO[:, row, list(positions[i])].clone() for row, i in enumerate(group)]

    with torch.no_grad(), frozen(model):
        for group, some in in_batches([len(row) for row in rows], batch_tokens, read):
            found |= zip(group, some, strict=True)
    return [found[i] for i in range(len(rows))]


def read_by_head(model: PreTrainedModel, states_NO: torch.Tensor) -> torch.Tensor:
    """Logits (N, V) that the model's own final norm and head make of states of any layer (the logit lens)."""
    norm = final_norm(model)
    with torch.no_grad(), frozen(model):
        weight = next(norm.parameters(), None)
        at = model.device if weight is None else weight.device
        return project(model, norm(states_NO.to(at, model.dtype))).cpu()


def final_norm(model: PreTrainedModel) -> nn.Module:
    """The norm between the last decoder layer and the head."""
    return module(model, module_names(model)["ln_f_module"])
