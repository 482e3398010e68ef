"""Logit lens: what the states inside the model say, read by the head of the model before.

The head of the model before, for a head may have been changed to hide what the states still hold. (nostalgebraist 2020;
Patil et al., arXiv 2309.17410, attack with it.)

Shape letters: L decoder layers, P positions, O hidden size, V vocabulary.
"""

import torch

from dsets import Record
from experiments.auditing.attacks.asking import first_tokens
from experiments.auditing.context import Audited, Outcome
from experiments.auditing.states import read_by_head, states_after_layers
from util.tokens import subject_span


def lens(audited: Audited) -> Outcome:
    """The answer's first token is the argmax after some layer, at some token from the subject's last one on.

    The details hold the share by layer, at the prompt's last token: of the model after (facts and controls) and of
    the model before.
    """
    said = [_first_token_wins(audited, audited.after, record) for record in audited.records]
    knew = [_first_token_wins(audited, audited.before, record) for record in audited.facts]
    count = len(audited.facts)
    return audited.outcome(
        [bool(one.any()) for one in said],
        by_layer={"before": _by_layer(knew), "after": _by_layer(said[:count]), "controls": _by_layer(said[count:])},
    )


def _first_token_wins(audited: Audited, model, record: Record) -> torch.Tensor:
    """(L, P) whether the answer's first token is what the head makes of the state."""
    ids, token = first_tokens(audited, record)
    last = subject_span(audited.tokenizer, record.prompt, record.subject)[2]
    (states_LPO,) = states_after_layers(model, [tuple(ids)], [range(last, len(ids))], audited.batch_tokens)
    return torch.stack([read_by_head(audited.before, states_PO).argmax(-1) == token for states_PO in states_LPO])


def _by_layer(wins: list[torch.Tensor]) -> list[float]:
    """Percent of the facts whose answer is read at the last position, per layer."""
    return (100 * torch.stack([one[:, -1] for one in wins]).double().mean(0)).tolist()
