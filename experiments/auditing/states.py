"""Hidden states of a model at the last token of prompts, and other models' heads to read them with.

Shape letters: B rows, T tokens, O hidden size, L decoder layers, N rows in all, P positions of a row, V vocabulary.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from util.batching import in_batches
from util.forward import final_hidden, project
from util.hooks import answering, by_row, capture, first, frozen, with_first
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
        usual = _passed_on(model)
        said_P = torch.cat([_read(model, some_PO, usual).argmax(-1).cpu() for some_PO in states_PO.split(step)])
    return said_P.view(states_LNO.shape[:2])


def _passed_on(model: PreTrainedModel) -> object:
    """What the last decoder layer returns for one text of one token, in the form that the family gives it."""
    found: list[object] = []
    handle = decoder_layers(model)[-1].register_forward_hook(lambda _m, _a, output: found.append(output))
    try:
        final_hidden(model, pad([[0]], device=model.device))
    finally:
        handle.remove()
    return found[0]


def _read(model: PreTrainedModel, states_PO: torch.Tensor, usual: object) -> torch.Tensor:
    """Logits (P, V); no layer runs. usual: see `_passed_on`."""
    blank = pad([[0]] * len(states_PO), device=model.device)
    states = states_PO.to(first(usual)).view(-1, *first(usual).shape[1:])
    with answering(decoder_layers(model), with_first(usual, states)):
        return project(model, final_hidden(model, blank))[:, 0]
