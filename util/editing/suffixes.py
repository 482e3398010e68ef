"""Texts cut at the fact's position: what lies before is computed once, what follows can be run again and again.

δ enters at the output of layer l at the fact's position. Layers up to l never change, nor, because attention is causal,
do the positions before the fact's at any layer. So one pass without gradients gives everything that stays: the output
of layer l from the fact's position on, and the keys and values of the layers above l before it. Every further pass runs
only the layers above l on the few positions left.

That holds where all that a layer above l knows of the positions before are keys and values. Whether it holds is tried
on the texts themselves, with δ = 0; a model that keeps other states (recurrence, convolution, keys of other layers)
runs whole texts instead.

Shape letters: R rows (one text each), T tokens, S suffix positions, P prefix positions, O hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from util.editing.passage import Passage
from util.forward import FOREIGN, backbone, keeps_keys_and_values, noise, reason, relative_error, run
from util.hooks import by_row, capture, first, noting_tuples, patch, replaced
from util.modeling import decoder_layers
from util.tokens import Batch, pad


@dataclass(frozen=True)
class FactText:
    """One text: its token ids and the index of the fact's position."""

    ids: list[int]
    fact: int


@dataclass(frozen=True)
class Entry:
    """Where δ enters: at the output of decoder layer `layer` or, with `inner`, at that module's output within it, from
    where it takes the passage to the layer's output.
    """

    layer: int
    inner: nn.Module | None = None
    passage: Passage | None = None

    def shift(self, inside_RO: torch.Tensor | None, delta_RO: torch.Tensor) -> torch.Tensor:
        """What δ (float32) adds to the layer's output; inside: what the inner module gave without it."""
        if self.passage is None:
            return delta_RO
        assert inside_RO is not None, "where there is a passage, there is an inner module"
        return self.passage.through(inside_RO.float(), delta_RO)


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
    layer above, bottom up; as_tuple: whether this model's decoder layers return tuples. inside_RO: what the entry's
    inner module gave at the fact's position, where there is one.
    """

    entry: Entry
    hidden_RSO: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    prefixes: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    as_tuple: bool
    inside_RO: torch.Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Of the entry's layer."""
        return self.hidden_RSO.device

    def rows(self, index: torch.Tensor) -> "Suffixes":
        """The same for some of the rows."""
        return Suffixes(
            self.entry,
            self.hidden_RSO[index],
            self.mask[index],
            self.positions[index],
            tuple((keys[index.to(keys.device)], values[index.to(values.device)]) for keys, values in self.prefixes),
            self.as_tuple,
            self.inside_RO if self.inside_RO is None else self.inside_RO[index],
        )

    def outputs(self, model: PreTrainedModel, delta_RO: torch.Tensor, read: Sequence[int]) -> dict[int, torch.Tensor]:
        """Outputs (R, S, O) of the layers in `read`, none below the entry's, with δ (float32) at the fact's position.

        Gradients flow to δ.
        """
        at_fact = self.hidden_RSO[:, 0].float() + self.entry.shift(self.inside_RO, delta_RO.to(self.device))
        hidden_RSO = torch.cat([at_fact.to(self.hidden_RSO.dtype)[:, None], self.hidden_RSO[:, 1:]], dim=1)
        layers = decoder_layers(model)
        modules = {str(index): layers[index] for index in sorted(set(read))}
        with capture(modules) as seen:
            self._run(model, hidden_RSO)
        return {int(name): first(hidden) for name, hidden in seen.items()}

    def final(self, model: PreTrainedModel) -> torch.Tensor:
        """Hidden states (R, S, O) after the final norm, with nothing added."""
        return self._run(model, self.hidden_RSO)

    def final_with(self, model: PreTrainedModel, states_PO: Sequence[torch.Tensor]) -> torch.Tensor:
        """Hidden states (R, S, O) after the final norm, with each row's states in place of the layer's output, from the
        fact's position on."""
        return self._run(model, _put(self.hidden_RSO, torch.zeros_like(self.positions[:, 0]), states_PO))

    def _run(self, model: PreTrainedModel, hidden_RSO: torch.Tensor) -> torch.Tensor:
        with replaced(decoder_layers(model)[: self.entry.layer + 1], hidden_RSO, self.as_tuple):
            output = backbone(model)(
                inputs_embeds=self.hidden_RSO,
                attention_mask=self.mask,
                position_ids=self.positions,
                past_key_values=Cache(layers=self._cache_layers()),
                use_cache=True,
            )
        return output[0]

    def _cache_layers(self) -> list[_Prefix]:
        rows, prefix = len(self.mask), self.mask.shape[1] - self.positions.shape[1]
        nothing = self.hidden_RSO.new_zeros(1, 1, 1, 1).expand(rows, 1, prefix, 1)
        below = [_Prefix(nothing, nothing)] * (self.entry.layer + 1)
        return below + [_Prefix(keys, values) for keys, values in self.prefixes]


@dataclass(frozen=True)
class WholeTexts:
    """The same for a model whose texts cannot be cut: each pass runs every layer on all positions.

    batch: rows padded on the right. fact_R: index of the fact's position. count: S, most positions from there on.
    """

    entry: Entry
    batch: Batch
    fact_R: torch.Tensor
    count: int
    inside_RO: torch.Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Of the entry's layer."""
        return self.fact_R.device

    def rows(self, index: torch.Tensor) -> "WholeTexts":
        """The same for some of the rows."""
        there = index.to(self.batch.input_ids.device)
        batch = Batch(self.batch.input_ids[there], self.batch.attention_mask[there], self.batch.position_ids[there])
        inside_RO = self.inside_RO if self.inside_RO is None else self.inside_RO[index]
        return WholeTexts(self.entry, batch, self.fact_R[index], self.count, inside_RO)

    def outputs(self, model: PreTrainedModel, delta_RO: torch.Tensor, read: Sequence[int]) -> dict[int, torch.Tensor]:
        """As `Suffixes.outputs`."""
        layers = decoder_layers(model)
        modules = {str(index): layers[index] for index in sorted(set(read))}
        rows = torch.arange(len(self.fact_R), device=self.device)
        shift_RO = self.entry.shift(self.inside_RO, delta_RO.to(self.device))

        def add(hidden: torch.Tensor) -> torch.Tensor:
            where = rows.to(hidden.device), self.fact_R.to(hidden.device)
            at_fact = hidden[where].float() + shift_RO.to(hidden.device)
            return hidden.index_put(where, at_fact.to(hidden.dtype))

        with patch(layers[self.entry.layer], add), capture(modules) as seen:
            run(model, self.batch, use_cache=False)
        return {int(name): from_fact(hidden, self.fact_R, self.count) for name, hidden in seen.items()}

    def final_with(self, model: PreTrainedModel, states_PO: Sequence[torch.Tensor]) -> torch.Tensor:
        """As `Suffixes.final_with`."""

        def put(hidden: torch.Tensor) -> torch.Tensor:
            return _put(by_row(hidden, len(self.fact_R)), self.fact_R, states_PO).view(hidden.shape)

        with patch(decoder_layers(model)[self.entry.layer], put):
            return from_fact(run(model, self.batch, use_cache=False)[0], self.fact_R, self.count)


def _put(hidden_RTO: torch.Tensor, first_R: torch.Tensor, states_PO: Sequence[torch.Tensor]) -> torch.Tensor:
    """A copy with each row's states in it, from the row's position in `first` on."""
    changed_RTO = hidden_RTO.clone()
    for row, (start, states) in enumerate(zip(first_R.tolist(), states_PO, strict=True)):
        changed_RTO[row, start : start + len(states)] = states.to(changed_RTO)
    return changed_RTO


def from_fact(hidden_RTO: torch.Tensor, fact_R: torch.Tensor, count: int) -> torch.Tensor:
    """(R, S, O) of (R, T, O), from the fact's position on; the last position stands for those after it."""
    positions = fact_R[:, None] + torch.arange(count, device=fact_R.device)
    positions = positions.clamp(max=hidden_RTO.shape[1] - 1).to(hidden_RTO.device)
    return hidden_RTO[torch.arange(len(fact_R), device=hidden_RTO.device)[:, None], positions]


def cut(model: PreTrainedModel, texts: Sequence[FactText], entry: Entry) -> Suffixes | WholeTexts:
    """Run the texts once, without gradients, and keep what later passes need (see the module's docstring)."""
    batch = pad([text.ids for text in texts], device=model.device)
    fact = torch.tensor([text.fact for text in texts], device=batch.input_ids.device)
    with torch.no_grad():
        if keeps_keys_and_values(model):
            try:
                suffixes, last_RSO = _suffixes(model, batch, fact, entry)
                if _replays(model, suffixes, last_RSO):
                    return suffixes
            except (RuntimeError, *FOREIGN) as error:
                reason(error)  # memory that ran out is no reason to take the long way
        return _whole(model, batch, fact, entry)


def _replays(model: PreTrainedModel, suffixes: Suffixes, last_RSO: torch.Tensor) -> bool:
    """Whether the suffixes alone give, with δ = 0, what the whole texts gave."""
    last, prefix = len(decoder_layers(model)) - 1, suffixes.mask.shape[1] - suffixes.positions.shape[1]
    nothing_RO = torch.zeros_like(suffixes.hidden_RSO[:, 0], dtype=torch.float32)
    found = suffixes.outputs(model, nothing_RO, (last,))[last]
    tokens = suffixes.mask[:, prefix:].bool().to(found.device)
    return relative_error(found[tokens], last_RSO[tokens], model.dtype) <= noise(model.dtype)


def _suffixes(
    model: PreTrainedModel, batch: Batch, fact_R: torch.Tensor, entry: Entry
) -> tuple[Suffixes, torch.Tensor]:
    """The suffixes, and what the last layer gives on them in the whole texts (R, S, O)."""
    layers, cache = decoder_layers(model), DynamicCache()
    named = {"out": layers[entry.layer]} | ({} if entry.inner is None else {"inner": entry.inner})
    with noting_tuples(layers[entry.layer]) as tuples, capture(named) as seen, capture({"last": layers[-1]}) as above:
        run(model, batch, past_key_values=cache, use_cache=True)
    fact_R = fact_R.to(seen["out"].device)
    length_R = batch.attention_mask.sum(1).to(fact_R.device)
    states = [(layer.keys, layer.values) for layer in cache.layers[entry.layer + 1 :]]
    suffixes = gather(seen["out"], states, fact_R, length_R, entry, tuples[0])
    if entry.inner is not None:
        suffixes = replace(suffixes, inside_RO=_at(seen["inner"], fact_R))
    return suffixes, from_fact(above["last"], fact_R, suffixes.hidden_RSO.shape[1])


def _whole(model: PreTrainedModel, batch: Batch, fact_R: torch.Tensor, entry: Entry) -> WholeTexts:
    named = {} if entry.inner is None else {"inner": entry.inner}
    with capture({"out": decoder_layers(model)[entry.layer]} | named) as seen:
        run(model, batch, use_cache=False)
    fact_R = fact_R.to(seen["out"].device)
    count = int((batch.attention_mask.sum(1).to(fact_R.device) - fact_R).max())
    inside_RO = None if entry.inner is None else _at(seen["inner"], fact_R)
    return WholeTexts(entry, batch, fact_R, count, inside_RO)


def _at(inside_RTO: torch.Tensor, fact_R: torch.Tensor) -> torch.Tensor:
    """(R, O) at the fact's position, also of a module that runs on flattened rows."""
    inside_RTO = inside_RTO.reshape(len(fact_R), -1, inside_RTO.shape[-1])
    where = torch.arange(len(fact_R), device=inside_RTO.device), fact_R.to(inside_RTO.device)
    return inside_RTO[where].to(fact_R.device)


def gather(
    out_RTO: torch.Tensor,
    states: Sequence[tuple[torch.Tensor, torch.Tensor]],
    fact_R: torch.Tensor,
    length_R: torch.Tensor,
    entry: Entry,
    as_tuple: bool,
) -> Suffixes:
    """The suffixes of whole texts that were run. out: what the entry's layer gave. states: keys and values of each
    layer above it, bottom up. fact, length: where each suffix begins, and tokens of the text."""
    device = out_RTO.device
    after = torch.arange(int((length_R - fact_R).max()), device=device)
    before = torch.arange(int(fact_R.max()), device=device)
    positions = fact_R[:, None] + after
    sources = before + (fact_R - fact_R.max())[:, None]
    mask = torch.cat([sources >= 0, positions < length_R[:, None]], dim=1).long()
    hidden = from_fact(out_RTO, fact_R, len(after))
    prefixes = tuple((_prefix(keys, sources), _prefix(values, sources)) for keys, values in states)
    return Suffixes(entry, hidden, mask, torch.minimum(positions, length_R[:, None] - 1), prefixes, as_tuple)


def _prefix(states_RHTD: torch.Tensor, sources_RP: torch.Tensor) -> torch.Tensor:
    sources = sources_RP.clamp(min=0).to(states_RHTD.device)[:, None, :, None]
    return states_RHTD.gather(2, sources.expand(-1, states_RHTD.shape[1], -1, states_RHTD.shape[3]))
