"""What else changed: how far the next-token distributions moved, at four distances from the facts.

Shape letters: N prompts, V vocabulary.
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
    """Over the tokens that follow each row's places; `_next_tokens` says which those are."""
    if not rows:
        return None
    models = (audited.before, audited.after)
    before, after = (_next_tokens(model, rows, places, audited.batch_tokens) for model in models)
    kl_N = divergence(before, after)
    return {"mean": kl_N.mean().item(), "tail": kl_N.quantile(TAIL).item(), "n": len(kl_N)}


def divergence(log_p_NV: torch.Tensor, log_q_NV: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) (N,) float64 of log-probabilities; q is floored at 1e-12, so that a masked token costs no infinity."""
    log_p_NV, log_q_NV = log_p_NV.double(), log_q_NV.double().clamp_min(torch.tensor(1e-12).log())
    p_NV = log_p_NV.exp()
    return torch.where(p_NV > 0, p_NV * (log_p_NV - log_q_NV), 0.0).sum(1).clamp_min(0)


def _next_tokens(
    model: PreTrainedModel, rows: Sequence[list[int]], places: Sequence[list[int]], batch_tokens: int
) -> torch.Tensor:
    """log p of the tokens that follow the places (indices into it) of each row, (N, V) float32 on the CPU."""
    found: dict[int, torch.Tensor] = {}

    def read(group: list[int]) -> Sequence[torch.Tensor]:
        hidden = final_hidden(model, pad([rows[i] for i in group], device=model.device))
        asked = torch.cat([hidden[k, places[i]] for k, i in enumerate(group)])
        return project(model, asked).log_softmax(-1).cpu().split([len(places[i]) for i in group])

    with torch.no_grad(), frozen(model):
        for group, some in in_batches([len(row) for row in rows], batch_tokens, read):
            found |= zip(group, some, strict=True)
    return torch.cat([found[i] for i in range(len(rows))])
