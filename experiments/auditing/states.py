"""Hidden states of a model at the last token of prompts, and other models' heads to read them with.

Shape letters: B rows, T tokens, O hidden size, L decoder layers, N rows in all, P positions of a row, V vocabulary.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from util.batching import in_batches
from util.forward import final_hidden, project
from util.hooks import by_row, capture, frozen, patch
from util.likelihood import LOGITS_AT_ONCE, Ids
from util.modeling import decoder_layers
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


def read_by_head(model: PreTrainedModel, states_LNO: torch.Tensor) -> torch.Tensor:
    """The token (L, N) that the model's own final norm and head make likeliest of states of any layer: the logit lens.

    The states take the place of what the last layer passes on, so that whatever a family does after it is done.
    """
    states_PO = states_LNO.flatten(0, 1)
    step = max(1, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    with torch.no_grad(), frozen(model):
        said_P = torch.cat([_read(model, some_PO).argmax(-1).cpu() for some_PO in states_PO.split(step)])
    return said_P.view(states_LNO.shape[:2])


def _read(model: PreTrainedModel, states_PO: torch.Tensor) -> torch.Tensor:
    """Logits (P, V)."""
    blank = pad([[0]] * len(states_PO), device=model.device)
    with patch(decoder_layers(model)[-1], lambda hidden: states_PO.to(hidden).view_as(hidden)):
        return project(model, final_hidden(model, blank))[:, 0]
