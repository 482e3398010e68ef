"""Texts run once, from which passes go on at any layer and from any position: nothing below or before is run again.

As in `util.editing.suffixes`, of which this is the form for many layers and positions of the same texts; it holds for
the same models, and whether it holds is tried on the texts themselves.

Shape letters: C texts, R rows (one pass each), T tokens, O hidden size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from util.editing.suffixes import Entry, Suffixes, from_fact, gather
from util.forward import FOREIGN, keeps_keys_and_values, noise, reason, relative_error, run
from util.hooks import capture, noting_tuples
from util.modeling import decoder_layers
from util.tokens import Batch

TRIED = 4
"""Texts on which it is tried whether a pass that goes on gives what the whole one gave."""


@dataclass(frozen=True)
class Restarts:
    """What the texts' pass left. entering: layer → what enters it (C, T, O), at 0 the embeddings. states: keys and
    values of each layer. final_CTO: after the final norm. length_C: tokens of each text, which are padded on the right.
    as_tuple: whether this model's decoder layers return tuples."""

    entering: Mapping[int, torch.Tensor]
    states: Sequence[tuple[torch.Tensor, torch.Tensor]]
    final_CTO: torch.Tensor
    length_C: torch.Tensor
    as_tuple: bool

    def suffixes(self, text_R: torch.Tensor, position_R: torch.Tensor, layer: int) -> Suffixes:
        """What is left to run of these texts, from their positions and that layer on."""
        entering = _pick(self.entering[layer], text_R)
        above = [(_pick(keys, text_R), _pick(values, text_R)) for keys, values in self.states[layer:]]
        where = position_R.to(entering.device), _pick(self.length_C, text_R).to(entering.device)
        return gather(entering, above, *where, Entry(layer - 1), self.as_tuple)

    def replays(self, model: PreTrainedModel) -> bool:
        """Whether passes that go on in the middle of the first texts, at the first layer and at a middle one, give what
        the whole ones gave."""
        text = torch.arange(min(TRIED, len(self.length_C)), device=self.length_C.device)
        middle = self.length_C[text] // 2
        for layer in (0, len(self.states) // 2):
            rest = self.suffixes(text, middle, layer)
            found = rest.final(model)
            right = from_fact(_pick(self.final_CTO, text), middle.to(self.final_CTO.device), found.shape[1])
            tokens = rest.mask[:, -found.shape[1] :].bool()
            here, there = tokens.to(found.device), tokens.to(right.device)
            if not relative_error(found[here], right[there], model.dtype) <= noise(model.dtype):
                return False
        return True


def record(model: PreTrainedModel, batch: Batch) -> Restarts | None:
    """Run the texts, padded on the right, without gradients; None for a model that keeps other states."""
    if not keeps_keys_and_values(model):
        return None
    layers, cache = decoder_layers(model), DynamicCache()
    below = {0: model.get_input_embeddings()} | dict(enumerate(layers, start=1))
    try:
        with torch.no_grad(), noting_tuples(layers[0]) as tuples, capture(below) as entering:
            final_CTO = run(model, batch, past_key_values=cache, use_cache=True)[0]
        states = [(layer.keys, layer.values) for layer in cache.layers]
    except (RuntimeError, *FOREIGN) as error:
        reason(error)  # memory that ran out is no reason to take the long way
        return None
    return Restarts(entering, states, final_CTO, batch.attention_mask.sum(1), tuples[0])


def goes_on(model: PreTrainedModel, restarts: Restarts) -> bool:
    """Whether this model can: `Restarts.replays`, and False where its code cannot be run that way."""
    with torch.no_grad():
        try:
            return restarts.replays(model)
        except (RuntimeError, *FOREIGN) as error:
            reason(error)
            return False


def _pick(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return states[index.to(states.device)]
