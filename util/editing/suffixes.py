"""Texts cut at the fact's position: what lies before is computed once, what follows can be run again and again.

δ enters at the output of layer l at the fact's position. Layers up to l never change, nor, because attention is causal,
do the positions before the fact's at any layer. So one pass without gradients gives everything that stays: the output
of layer l from the fact's position on, and the keys and values of the layers above l before it. Every further pass runs
only the layers above l on the few positions left.

Shape letters: R rows (one text each), T tokens, S suffix positions, P prefix positions, O hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from util.hooks import capture, first, replaced
from util.modeling import backbone, decoder_layers
from util.tokens import pad


@dataclass(frozen=True)
class FactText:
    """One text: its token ids and the index of the fact's position."""

    ids: list[int]
    fact: int


class _Prefix(DynamicLayer):
    """Keys and values (R, heads, P, head size) of the positions before the fact's; an update stores nothing."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor):
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(self, key_states, value_states, *_args, **_kwargs):
        return torch.cat([self.keys, key_states], dim=-2), torch.cat([self.values, value_states], dim=-2)

    def get_seq_length(self) -> int:
        return self.keys.shape[-2]


@dataclass(frozen=True)
class Suffixes:
    """What is left to run. hidden_RSO: output of the layer, from the fact's position on, padded on the right.

    mask: (R, P + S), 1 on tokens; prefixes are padded on the left. positions: (R, S). prefixes: (keys, values) of each
    layer above, bottom up; as_tuple: whether this model's decoder layers return tuples. norm: where δ enters before a
    norm of the layer, that norm; inside_RO: what it is given at the fact's position.
    """

    layer: int
    hidden_RSO: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    prefixes: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    as_tuple: bool
    norm: nn.Module | None = None
    inside_RO: torch.Tensor | None = None

    def shifted(self, delta_RO: torch.Tensor) -> torch.Tensor:
        """hidden_RSO with δ (float32) added at the fact's position: to the layer's output or, behind a norm, to what
        that norm is given, so that its own output in the residual stream changes.
        """
        at_fact = self.hidden_RSO[:, 0].float()
        if self.norm is None:
            at_fact = at_fact + delta_RO
        else:
            inside = self.inside_RO.float()
            at_fact = at_fact + self.norm(inside + delta_RO) - self.norm(inside)
        return torch.cat([at_fact.to(self.hidden_RSO.dtype)[:, None], self.hidden_RSO[:, 1:]], dim=1)

    def rows(self, index: torch.Tensor) -> "Suffixes":
        """The same for some of the rows."""
        return Suffixes(
            self.layer,
            self.hidden_RSO[index],
            self.mask[index],
            self.positions[index],
            tuple((keys[index.to(keys.device)], values[index.to(values.device)]) for keys, values in self.prefixes),
            self.as_tuple,
            self.norm,
            self.inside_RO if self.inside_RO is None else self.inside_RO[index],
        )


def cut(model: PreTrainedModel, texts: Sequence[FactText], layer: int, norm: nn.Module | None = None) -> Suffixes:
    """Run the texts once, without gradients, and keep what `run_above` needs (see the module's docstring).

    norm: where δ is to enter before a norm of that layer, that norm.
    """
    batch = pad([text.ids for text in texts], device=model.device)
    layers = decoder_layers(model)
    cache = DynamicCache()
    seen_tuple: list[bool] = []
    note = layers[layer].register_forward_hook(lambda _m, _a, output: seen_tuple.append(isinstance(output, tuple)))
    try:
        inner = {} if norm is None else {"norm": norm}
        with torch.no_grad(), capture(inner, inputs=True) as inside, capture({"out": layers[layer]}) as seen:
            backbone(model)(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                position_ids=batch.position_ids,
                past_key_values=cache,
                use_cache=True,
            )
    finally:
        note.remove()
    device = seen["out"].device
    fact = torch.tensor([text.fact for text in texts], device=device)
    length = torch.tensor([len(text.ids) for text in texts], device=device)
    suffixes = _gather(seen["out"], cache, fact, length, layer, seen_tuple[0])
    if norm is None:
        return suffixes
    return replace(suffixes, norm=norm, inside_RO=inside["norm"][torch.arange(len(texts), device=device), fact])


def _gather(out_RTO, cache: DynamicCache, fact_R, length_R, layer: int, as_tuple: bool) -> Suffixes:
    device = out_RTO.device
    after = torch.arange(int((length_R - fact_R).max()), device=device)
    before = torch.arange(int(fact_R.max()), device=device)
    positions = fact_R[:, None] + after
    sources = before + (fact_R - fact_R.max())[:, None]
    mask = torch.cat([sources >= 0, positions < length_R[:, None]], dim=1).long()
    rows = torch.arange(len(fact_R), device=device)[:, None]
    hidden = out_RTO[rows, positions.clamp(max=out_RTO.shape[1] - 1)]
    prefixes = tuple(
        (_prefix(entry.keys, sources), _prefix(entry.values, sources)) for entry in cache.layers[layer + 1 :]
    )
    return Suffixes(layer, hidden, mask, torch.minimum(positions, length_R[:, None] - 1), prefixes, as_tuple)


def _prefix(states_RHTD: torch.Tensor, sources_RP: torch.Tensor) -> torch.Tensor:
    sources = sources_RP.clamp(min=0).to(states_RHTD.device)[:, None, :, None]
    return states_RHTD.gather(2, sources.expand(-1, states_RHTD.shape[1], -1, states_RHTD.shape[3]))


def run_above(model: PreTrainedModel, suffixes: Suffixes, hidden_RSO: torch.Tensor, read: Sequence[int]) -> dict:
    """Outputs (R, S, O) of the layers in `read`, given the output of the suffixes' layer.

    Gradients flow to `hidden_RSO`. A layer in `read` lies above the suffixes' layer or is that layer itself.
    """
    layers = decoder_layers(model)
    cache = Cache(layers=_cache_layers(suffixes))
    modules = {str(index): layers[index] for index in sorted(set(read))}
    with replaced(layers[: suffixes.layer + 1], hidden_RSO, suffixes.as_tuple), capture(modules) as seen:
        backbone(model)(
            inputs_embeds=suffixes.hidden_RSO,
            attention_mask=suffixes.mask,
            position_ids=suffixes.positions,
            past_key_values=cache,
            use_cache=True,
        )
    return {int(name): first(hidden) for name, hidden in seen.items()}


def _cache_layers(suffixes: Suffixes) -> list[_Prefix]:
    rows, prefix = len(suffixes.mask), suffixes.mask.shape[1] - suffixes.positions.shape[1]
    nothing = suffixes.hidden_RSO.new_zeros(1, 1, 1, 1).expand(rows, 1, prefix, 1)
    below = [_Prefix(nothing, nothing)] * (suffixes.layer + 1)
    return below + [_Prefix(keys, values) for keys, values in suffixes.prefixes]
