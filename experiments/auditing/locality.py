"""What else changed: how far the next-token distributions moved, at four distances from the facts.

Shape letters: N prompts, O hidden size, V vocabulary.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from dsets import Record
from dsets.record import relation
from experiments.auditing.attacks.asking import IRRELEVANT
from experiments.auditing.context import Audited
from util.batching import in_batches
from util.forward import final_hidden, project
from util.hooks import frozen
from util.tokens import encode, pad

TAIL = 0.99
AT_ONCE = 1 << 22
"""Most log-probabilities that are held of one model at a time (32 MB in float64)."""

OTHER_PROMPTS = 3
"""Prompts of other relations that are asked about a fact's subject."""


def locality(audited: Audited) -> dict[str, dict[str, float] | None]:
    """KL(before ‖ after) of the next token in nats: mean and 99 % quantile per radius; None without prompts.

    same subject: prompts of the file's other relations about the facts' subjects. same relation: the facts' prompts
    about subjects that do not exist. same object: the file's neighbouring prompts. unrelated: a text about nothing,
    token by token.
    """
    facts = audited.facts
    radii = {
        "same subject": [text for record in facts for text in _about_subject(audited, record)],
        "same relation": [record.text for record in audited.controls],
        "same object": [record.frame.around(probe.prompt) for record in facts for probe in record.neighborhood],
    }
    rows = {name: [encode(audited.tokenizer, text) for text in radii[name]] for name in radii}
    found = {name: _moved(audited, rows[name], [[len(row) - 1] for row in rows[name]]) for name in rows}
    unrelated = encode(audited.tokenizer, IRRELEVANT)
    return found | {"unrelated": _moved(audited, [unrelated], [list(range(1, len(unrelated) - 1, 2))])}


def _about_subject(audited: Audited, record: Record) -> list[str]:
    prompts = sorted({one.prompt for one in audited.pool if relation(one) != relation(record)})
    chosen = audited.draw(record, "other prompts").sample(prompts, min(OTHER_PROMPTS, len(prompts)))
    return [record.frame.around(prompt.replace("{}", record.subject)) for prompt in chosen]


def _moved(audited: Audited, rows: Sequence[list[int]], places: Sequence[list[int]]) -> dict[str, float] | None:
    """Over the tokens that follow each row's places (indices into it), batch by batch."""
    if not rows:
        return None
    models = (audited.before, audited.after)

    def read(group: list[int]) -> torch.Tensor:
        return _divergences(models, [rows[i] for i in group], [places[i] for i in group])

    with torch.no_grad(), frozen(audited.before), frozen(audited.after):
        kl_N = torch.cat([some for _, some in in_batches([len(row) for row in rows], audited.batch_tokens, read)])
    return {"mean": kl_N.mean().item(), "tail": kl_N.quantile(TAIL).item(), "n": len(kl_N)}


def divergence(log_p_NV: torch.Tensor, log_q_NV: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) (N,) float64 of log-probabilities; q is floored at 1e-12, so that a masked token costs no infinity."""
    log_p_NV, log_q_NV = log_p_NV.double(), log_q_NV.double().clamp_min(torch.tensor(1e-12).log())
    p_NV = log_p_NV.exp()
    return torch.where(p_NV > 0, p_NV * (log_p_NV - log_q_NV), 0.0).sum(1).clamp_min(0)


def _divergences(
    models: tuple[PreTrainedModel, PreTrainedModel], rows: Sequence[list[int]], places: Sequence[list[int]]
) -> torch.Tensor:
    """KL(first ‖ second) of the tokens that follow the places, row after row, (N,) float64 on the CPU; one batch.

    Of all places only the hidden states are held, of AT_ONCE // V at a time the log-probabilities.
    """
    step = max(1, AT_ONCE // models[0].config.get_text_config().vocab_size)
    parts = zip(*(_states(model, rows, places).split(step) for model in models), strict=True)
    return torch.cat([divergence(*map(_next_token, models, states)) for states in parts])


def _states(model: PreTrainedModel, rows: Sequence[list[int]], places: Sequence[list[int]]) -> torch.Tensor:
    """The final hidden states at the places of each row, (N, O)."""
    hidden = final_hidden(model, pad(rows, device=model.device))
    return torch.cat([hidden[row, some] for row, some in enumerate(places)])


def _next_token(model: PreTrainedModel, hidden_NO: torch.Tensor) -> torch.Tensor:
    """log p of the tokens that follow the final hidden states, (N, V) float32 on the CPU."""
    return project(model, hidden_NO).log_softmax(-1).cpu()
