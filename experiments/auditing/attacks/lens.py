"""Logit lens: what the states inside the model say, read by the head of the model before.

The head of the model before, for a head may have been changed to hide what the states still hold. (nostalgebraist 2020;
Patil et al., arXiv 2309.17410, attack with it.)

A template's last token alone may say its relation's most frequent answer in the layers below; so each reading is held
against the same of subjects that do not exist.

Shape letters: L decoder layers, P positions, O hidden size, V vocabulary.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from dsets import Record
from experiments.auditing.context import Audited, Outcome, renamed
from experiments.auditing.states import said_by_head, states_after_layers
from util.invented import invented_names

STAND_INS = 3
"""Invented subjects that a reading is held against."""


def lens(audited: Audited) -> Outcome:
    """The answer's first token is the argmax after some layer, at some token from the subject's last one on, and is not
    that of every stand-in there: what a state says of whomever it is asked about, it does not say of the subject.

    The details hold the share by layer, at the prompt's last token, stand-ins or not: of the model after (facts and
    controls) and of the model before.
    """
    said, usual = _read(audited, audited.after, audited.records), _of_anybody(audited)
    flags = [_beyond(one, usual[_asked(record)]) for one, record in zip(said, audited.records, strict=True)]
    if not audited.detailed:
        return audited.outcome(flags)
    knew, count = _read(audited, audited.before, audited.facts), len(audited.facts)
    by_layer = {"before": _by_layer(knew), "after": _by_layer(said[:count]), "controls": _by_layer(said[count:])}
    return audited.outcome(flags, by_layer=by_layer)


def _asked(record: Record) -> tuple[str, str | None, str]:
    """What is asked, whoever it is about."""
    return record.request().template, record.answer_prefix, record.target_true


def _of_anybody(audited: Audited) -> dict[tuple[str, str | None, str], list[torch.Tensor]]:
    """By what is asked, what is read of the stand-ins, subjects that do not exist, none of which is a control."""
    names = invented_names(STAND_INS, audited.seed + 2)
    one_each = {_asked(record): record for record in audited.records}
    rows = [renamed(record, name) for record in one_each.values() for name in names]
    said = _read(audited, audited.after, rows)
    return {key: said[i * STAND_INS : (i + 1) * STAND_INS] for i, key in enumerate(one_each)}


def _beyond(said: torch.Tensor, usual: Sequence[torch.Tensor]) -> bool:
    """Whether anything is read (L, P) that some stand-in does not say at that layer and token, counted from the end."""
    shared = min(one.shape[1] for one in (said, *usual))
    by_all_LP = torch.zeros_like(said)
    by_all_LP[:, -shared:] = torch.stack([one[:, -shared:] for one in usual]).all(0)
    return bool((said & ~by_all_LP).any())


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
