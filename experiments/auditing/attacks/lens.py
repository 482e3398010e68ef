"""Logit lens: what the states inside the model say, read by the head of the model before.

The head of the model before, for a head may have been changed to hide what the states still hold. (nostalgebraist 2020;
Patil et al., arXiv 2309.17410, attack with it.)

Shape letters: L decoder layers, P positions, O hidden size, V vocabulary.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from dsets import Record
from experiments.auditing.context import Audited, Outcome
from experiments.auditing.states import said_by_head, states_after_layers


def lens(audited: Audited) -> Outcome:
    """The answer's first token is the argmax after some layer, at some token from the subject's last one on.

    The details hold the share by layer, at the prompt's last token: of the model after (facts and controls) and of
    the model before.
    """
    said, knew = _read(audited, audited.after, audited.records), _read(audited, audited.before, audited.facts)
    count = len(audited.facts)
    return audited.outcome(
        [bool(one.any()) for one in said],
        by_layer={"before": _by_layer(knew), "after": _by_layer(said[:count]), "controls": _by_layer(said[count:])},
    )


def _read(audited: Audited, model: PreTrainedModel, records: Sequence[Record]) -> list[torch.Tensor]:
    """Per record (L, P): whether the answer's first token is what the head makes of the model's state."""
    split = [audited.tokens(record) for record in records]
    rows = [tuple(prompt) for prompt, *_ in split]
    places = [range(last, len(prompt)) for prompt, _, _, last in split]
    states = states_after_layers(model, rows, places, audited.batch_tokens)
    sizes = [len(some) for some in places]
    wanted = [answer[0] for (_, answer, *_), size in zip(split, sizes, strict=True) for _ in range(size)]
    return list(said_by_head(audited.before, torch.cat(states, dim=1), wanted).split(sizes, dim=1))


def _by_layer(wins: list[torch.Tensor]) -> list[float]:
    """Percent of the facts whose answer is read at the last position, per layer."""
    return (100 * torch.stack([one[:, -1] for one in wins]).double().mean(0)).tolist()
