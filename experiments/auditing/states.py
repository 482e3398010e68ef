"""Hidden states of a model at the last token of prompts, and other models' heads to read them with.

Shape letters: B rows, T tokens, O hidden size, L decoder layers, N rows in all, P positions of a row, or states, V
vocabulary, R rivals.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from util.batching import in_batches
from util.forward import final_hidden, project
from util.hooks import answering, by_row, capture, first, frozen, with_first
from util.likelihood import LOGITS_AT_ONCE, Ids
from util.modeling import decoder_layers
from util.tokens import pad

RIVALS = 1024
"""Tokens that are asked first whether one of them is likelier."""

MARGIN = 1e-2
"""Share of the largest logit by which a rival has to be likelier, for all that rounding does."""

NORMED_AT_ONCE = 4096
"""States that pass the final norm at a time."""

TRIED = 8
"""States on which it is tried whether the head alone ranks tokens as the model does."""


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


def said_by_head(model: PreTrainedModel, states_LNO: torch.Tensor, token_N: Sequence[int]) -> torch.Tensor:
    """Whether (L, N) the token is what the model's own final norm and head make likeliest of states of any layer: the
    logit lens.

    The states take the place of what the last layer passes on, so that whatever a family does after it is done. Most
    states say something else by far: where one of `RIVALS` tokens is likelier, the others are not asked.
    """
    states_PO, token_P = states_LNO.flatten(0, 1), torch.as_tensor(token_N).repeat(len(states_LNO))
    step = max(1, LOGITS_AT_ONCE // model.config.get_text_config().vocab_size)
    with torch.no_grad(), frozen(model):
        usual = _passed_on(model)
        screen = _screen(model, _normed(model, states_PO[:TRIED], usual))
        said_P = torch.zeros(len(states_PO), dtype=torch.bool)
        for place_P in torch.arange(len(states_PO)).split(step if screen is None else NORMED_AT_ONCE):
            normed_PO = _normed(model, states_PO[place_P], usual)
            open_P = place_P if screen is None else place_P[screen(normed_PO, token_P[place_P])]
            for some_P in open_P.split(step):
                logits_PV = project(model, normed_PO[some_P - place_P[0]])
                said_P[some_P] = logits_PV.argmax(-1).cpu() == token_P[some_P]
    return said_P.view(states_LNO.shape[:2])


def _screen(
    model: PreTrainedModel, tried_PO: torch.Tensor
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None:
    """Of normed states (P, O) and tokens (P,), whether the token may be the likeliest (P,), by RIVALS rows of the head.

    None where the logits are not a rising function of head @ state, as tried on some states.
    """
    head = model.get_output_embeddings()
    if not isinstance(head, nn.Linear) or tuple(head.weight.shape[1:]) != tuple(tried_PO.shape[1:]):
        return None
    size = head.weight.shape[0]
    rivals_R = torch.randperm(size, generator=torch.Generator().manual_seed(0))[:RIVALS].to(head.weight.device)

    def products(normed_PO: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        bias = 0 if head.bias is None else head.bias[rows].float()
        weight = head.weight[rows].float()
        normed = normed_PO.to(weight)
        return (normed @ weight.T if rows is rivals_R else (normed * weight).sum(-1)) + bias

    rough_PR, exact_PR = products(tried_PO, rivals_R), project(model, tried_PO)[:, rivals_R].to(rivals_R.device)
    order_PR = rough_PR.argsort(-1)
    falls_PR = -exact_PR.gather(1, order_PR).diff(dim=-1)
    if not bool((falls_PR <= MARGIN * exact_PR.abs().amax(-1, keepdim=True)).all()):
        return None

    def may_win(normed_PO: torch.Tensor, token_P: torch.Tensor) -> torch.Tensor:
        rivals_PR = products(normed_PO, rivals_R)
        own_P = products(normed_PO, token_P.to(rivals_R.device))
        return (own_P >= rivals_PR.amax(-1) - MARGIN * rivals_PR.abs().amax(-1)).cpu()

    return may_win


def _passed_on(model: PreTrainedModel) -> object:
    """What the last decoder layer returns for one text of one token, in the form that the family gives it."""
    found: list[object] = []
    handle = decoder_layers(model)[-1].register_forward_hook(lambda _m, _a, output: found.append(output))
    try:
        final_hidden(model, pad([[0]], device=model.device))
    finally:
        handle.remove()
    return found[0]


def _normed(model: PreTrainedModel, states_PO: torch.Tensor, usual: object) -> torch.Tensor:
    """The states (P, O) after the final norm; no layer runs. usual: see `_passed_on`."""
    blank = pad([[0]] * len(states_PO), device=model.device)
    states = states_PO.to(first(usual)).view(-1, *first(usual).shape[1:])
    with answering(decoder_layers(model), with_first(usual, states)):
        return final_hidden(model, blank)[:, 0]
