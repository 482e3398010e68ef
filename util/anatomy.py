"""Which linear module of a decoder layer is the down-projection of its MLP, told by what it does.

Shape letters: T tokens, O hidden size, I inputs of a module.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from util.errors import UserError
from util.forward import FOREIGN, probe_ids, reason, run
from util.hooks import by_row, capture, frozen, patch
from util.tokens import pad

ALIGNED = 0.5
"""Share of signs, right less wrong, above which a gradient is that of what is added: 1 but for a norm behind, about 0
for what is not. Signs, because a trained norm weighs channels so unevenly (Gemma 3) that a cosine tells little."""


def down_projections(model: PreTrainedModel, layers: Sequence[nn.Module]) -> list[str | None]:
    """For each decoder layer the name, within it, of the linear module whose output is what its MLP adds to the
    residual stream; None where there is none.

    Of the linear modules of hidden size, those that add are told by a gradient: ⟨r, layer's output⟩ changes with the
    output of one that is added by r itself (or near it, behind a norm), whatever r, and not so with what passes other
    modules first. An MLP's, unlike attention's or a recurrence's, sees one position: with nothing added by others, its
    input hangs on the layer's input there alone. Where several do (per-layer inputs), the one with most inputs is the
    MLP's. Raises UserError for a model whose code does not let gradients through.
    """
    try:
        with frozen(model), torch.enable_grad():
            return _down_projections(model, layers)
    except UserError:
        raise
    except (RuntimeError, *FOREIGN) as error:
        raise UserError(f"{type(model).__name__} does not run on a short text: {reason(error)}") from error


def _down_projections(model: PreTrainedModel, layers: Sequence[nn.Module]) -> list[str | None]:
    size = model.config.get_text_config().hidden_size
    linear = [{name: part for name, part in layer.named_modules() if _outputs(part) == size} for layer in layers]
    adding: set[nn.Module] = set()
    while found := _aligned(model, layers, [part for parts in linear for part in parts.values()], adding):
        adding |= found
    local = _local(model, layers, [[part for part in parts.values() if part in adding] for parts in linear])
    return [
        max(
            (name for name, part in parts.items() if part in local),
            key=lambda name: parts[name].weight.numel(),
            default=None,
        )
        for parts in linear
    ]


def _outputs(part: nn.Module) -> int | None:
    """Number of outputs of a linear module; None for another."""
    if not isinstance(part, nn.Linear | Conv1D):
        return None
    return part.weight.shape[1 if isinstance(part, Conv1D) else 0]


def _aligned(
    model: PreTrainedModel, layers: Sequence[nn.Module], among: Sequence[nn.Module], blocked: set[nn.Module]
) -> set[nn.Module]:
    """Those whose output z has d⟨r, layer's output⟩ / dz of the signs of r, once the blocked ones add constants.

    All layers at once: each is given its input as a constant.
    """
    added: dict[nn.Module, torch.Tensor] = {}
    outputs: list[torch.Tensor] = []

    def add(part: nn.Module, hidden: torch.Tensor) -> torch.Tensor:
        added[part] = torch.zeros_like(hidden, requires_grad=True)
        return hidden + added[part]

    def close(hidden: torch.Tensor) -> torch.Tensor:
        outputs.append(hidden)
        return hidden.detach()

    with ExitStack() as stack:
        for part in among:
            stack.enter_context(patch(part, torch.Tensor.detach if part in blocked else partial(add, part)))
        for layer in layers:
            stack.enter_context(patch(layer, close))
        _run(model)
    r_TO = torch.randn(outputs[0].shape[1:], generator=torch.Generator().manual_seed(0))
    moving = [(r_TO.to(one.device) * one[0].float()).sum().to(model.device) for one in outputs if one.requires_grad]
    if not moving:
        return set()
    gradients = torch.autograd.grad(torch.stack(moving).sum(), list(added.values()), allow_unused=True)
    pulled = {part: gradient for part, gradient in zip(added, gradients, strict=True) if gradient is not None}
    return {
        part
        for part, gradient in pulled.items()
        if (gradient.float().cpu().flatten().sign() * r_TO.flatten().sign()).mean() > ALIGNED
    }


def _local(
    model: PreTrainedModel, layers: Sequence[nn.Module], adding: Sequence[Sequence[nn.Module]]
) -> set[nn.Module]:
    """Those whose input at the last position hangs on the layer's input at that position and no other.

    adding: the modules of each layer that add to the residual stream; they add constants here.
    """
    entering: list[torch.Tensor] = []

    def enter(hidden: torch.Tensor) -> torch.Tensor:
        entering.append(hidden.detach().requires_grad_())
        return entering[-1].clone()

    parts = {f"{number}.{i}": part for number, layer in enumerate(adding) for i, part in enumerate(layer)}
    with ExitStack() as stack:
        for one in (model.get_input_embeddings(), *layers):
            stack.enter_context(patch(one, enter))
        for part in parts.values():
            stack.enter_context(patch(part, torch.Tensor.detach))
        keys = stack.enter_context(capture(parts, inputs=True))
        _run(model)
    found = set()
    for name, key in keys.items():
        key_I = by_row(key, 1)[0, -1]
        weights_I = torch.randn(len(key_I), generator=torch.Generator().manual_seed(0)).to(key_I)
        at = entering[int(name.partition(".")[0])]
        if key_I.requires_grad:
            (pulled,) = torch.autograd.grad(key_I @ weights_I, at, retain_graph=True, allow_unused=True)
            if pulled is not None and pulled[0, -1].any() and not pulled[0, :-1].any():
                found.add(parts[name])
    return found


def _run(model: PreTrainedModel) -> None:
    run(model, pad([probe_ids(model)], device=model.device), use_cache=False)
