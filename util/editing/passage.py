"""How what an edited module gives reaches the output of its decoder layer.

Most layers add it as it is. Some scale it (Granite's residual multiplier), some norm it first (Gemma 2 and 3, OLMo 2).
Which of these a layer does is measured at the layer, not read from a configuration: what a perturbation of the module's
output changes in the layer's output must be explained to within noise, or the module is refused.

Shape letters: T tokens, R rows, N facts, O hidden size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from util.errors import UserError
from util.forward import FOREIGN, noise, probe_ids, reason, relative_error, run
from util.hooks import by_row, capture, frozen, patch
from util.linalg import nearest_on_sphere
from util.modeling import decoder_layers, module
from util.tokens import pad


@dataclass(frozen=True)
class Passage:
    """Δ(layer's output) = gain ∘ Δ(module's output), or of the norm that it passes first.

    gain_O: float32, a scalar () or one number for each coordinate (O,).
    """

    gain_O: torch.Tensor
    norm: nn.Module | None = None

    def through(self, inside_RO: torch.Tensor, delta_RO: torch.Tensor) -> torch.Tensor:
        """Δ of the layer's output where the module gives inside + δ for `inside` (both float32)."""
        if self.norm is None:
            return self.gain_O * delta_RO
        return self.gain_O * (self.norm(inside_RO + delta_RO) - self.norm(inside_RO))

    @torch.no_grad()
    def back(self, V_ON: torch.Tensor, R_ON: torch.Tensor) -> torch.Tensor:
        """What the module's output V must change by for the layer's output to change by R, as nearly as can be.

        A norm sets the length of what it gives, y = g · v / rms(v): the new output has the length of v and the
        direction that brings y closest to y + R. A large R is made in part, and the layers after this one see what is
        left.
        """
        here = self.gain_O.device
        V_ON, R_ON = V_ON.to(here), R_ON.to(here)
        if self.norm is None:
            return R_ON / self.gain_O.expand(len(R_ON))[:, None]
        g_O = self.gain_O * self.norm(torch.ones_like(V_ON[:, 0]))
        y_ON = (self.gain_O * self.norm(V_ON.T)).T
        nearest_ON = nearest_on_sphere(g_O, y_ON + R_ON)
        return V_ON.square().mean(0).sqrt() * nearest_ON.to(V_ON.dtype) - V_ON


def measure(model: PreTrainedModel, layer: int, name: str) -> Passage | None:
    """The passage from module `name` to the output of decoder layer `layer`; None where the layer adds it as it is.

    Two short runs up to the layer. Raises UserError for a module whose output does not reach the layer's output in one
    of the ways that a `Passage` describes, be it attention's query or an MLP behind which per-layer inputs are gated.
    """
    try:
        with torch.no_grad(), frozen(model):
            return _measure(model, layer, name)
    except UserError:
        raise
    except (RuntimeError, *FOREIGN) as error:
        raise UserError(
            f"layer {layer} of {type(model).__name__} does not run with {name!r} changed: {reason(error)}"
        ) from error


def _measure(model: PreTrainedModel, layer: int, name: str) -> Passage | None:
    inner, outer = module(model, name), decoder_layers(model)[layer]
    with _given_to(outer, inner) as receivers:
        v_TO, h_TO = _outputs(model, inner, outer)
    if v_TO.shape != h_TO.shape:
        raise UserError(_refusal(model, name))
    directions_TO = torch.randn(v_TO.shape, generator=torch.Generator().manual_seed(0)).to(v_TO)
    size_T1 = torch.maximum(v_TO.norm(dim=1), h_TO.norm(dim=1))[:, None]
    change_TO = directions_TO * size_T1 / directions_TO.norm(dim=1, keepdim=True)
    with patch(inner, lambda hidden: (hidden.float() + change_TO.view(hidden.shape)).to(hidden.dtype)):
        changed_TO, moved_TO = _outputs(model, inner, outer)
    found_TO = moved_TO - h_TO
    gain_O = _gain(changed_TO - v_TO, found_TO, model.dtype)
    if gain_O is not None:
        return None if gain_O.ndim == 0 and gain_O.item() == 1 else Passage(gain_O)
    for norm in receivers:
        gain_O = _gain(norm(changed_TO) - norm(v_TO), found_TO, model.dtype) if _sets_length(norm, v_TO) else None
        if gain_O is not None:
            return Passage(gain_O, norm)
    raise UserError(_refusal(model, name))


def _refusal(model: PreTrainedModel, name: str) -> str:
    return (
        f"what {name!r} gives does not enter the residual stream of {type(model).__name__} as it is, scaled or normed, "
        "so an edit of it would not do what it is solved for; name the MLP's down-projection as rewrite_module_tmp or, "
        "if it is that, use a method that learns by gradients (FT, GA, NPO)"
    )


def _outputs(model: PreTrainedModel, inner: nn.Module, outer: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """(T, O) float32 of both on the probe text, on the module's device (of states of more than T rows, all rows)."""
    batch = pad([probe_ids(model)], device=model.device)
    with capture({"inner": inner, "outer": outer}, stop=True) as seen:
        run(model, batch, use_cache=False)
    if seen.keys() != {"inner", "outer"}:
        raise UserError(f"{type(model).__name__} does not call the module that is to be edited where its layer is run")
    inner_TO, outer_TO = (by_row(seen[name], 1)[0].float() for name in ("inner", "outer"))
    return inner_TO, outer_TO.to(inner_TO.device)


@contextmanager
def _given_to(outer: nn.Module, inner: nn.Module) -> Iterator[list[nn.Module]]:
    """The modules of the layer that are given the very tensor which the inner module gave."""
    found: list[nn.Module] = []
    given: list[int] = []

    def hook(one: nn.Module, arguments: tuple, output: torch.Tensor) -> None:
        if one is inner:
            given.append(output.data_ptr())
        elif given and arguments and isinstance(arguments[0], torch.Tensor) and arguments[0].data_ptr() == given[0]:
            found.append(one)

    handles = [one.register_forward_hook(hook) for one in outer.modules() if one is not outer]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _gain(given_TO: torch.Tensor, found_TO: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
    """The gain with which `given` explains what was found: one for all coordinates if that will do, else one for each.

    None where neither does, or a coordinate is lost. A single one that is 1 up to rounding is 1: it is the mean of many
    numbers with such errors.
    """
    product_TO, square_TO = given_TO * found_TO, given_TO.square()
    for gain in (product_TO.sum() / square_TO.sum(), product_TO.sum(0) / square_TO.sum(0)):
        if relative_error(gain * given_TO, found_TO, dtype) <= noise(dtype) and (gain.abs() > 1e-6).all():
            as_it_is = gain.ndim == 0 and abs(gain.item() - 1) <= noise(dtype) / 20
            return torch.ones_like(gain) if as_it_is else gain
    return None


def _sets_length(norm: nn.Module, v_TO: torch.Tensor) -> bool:
    """Whether norm(v) = norm(1) · v / rms(v), which `Passage.back` takes it to be."""
    if not hasattr(norm, "weight") or norm.weight.shape != v_TO.shape[1:]:
        return False
    expected_TO = norm(torch.ones_like(v_TO)) * v_TO / v_TO.square().mean(1, keepdim=True).sqrt()
    return relative_error(norm(v_TO), expected_TO, torch.float32) <= noise(torch.float16)
