"""Keys, values and hidden states at the facts' positions; columns are facts.

Shape letters: O out (hidden size), I in (intermediate size), N facts, R rows (one text each).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.batching import in_batches
from util.editing.contexts import Templates, fill
from util.forward import run
from util.hooks import by_row, capture, frozen
from util.modeling import check_fits, module
from util.request import Request
from util.tokens import locate_subject, pad


@dataclass(frozen=True)
class ModuleSite:
    """Where to look: a module's name, and its first input or its output."""

    name: str
    inputs: bool = False


def at_subject(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    filled: Sequence[tuple[str, str]],
    probe: ModuleSite,
    batch_tokens: int,
) -> torch.Tensor:
    """Activations at the subject's last token, (size, R) float32, one column per (template, subject).

    Raises UserError for a text that the model has no room for: an invented or a protected subject may be longer than
    the forgotten one.
    """
    located = [locate_subject(tokenizer, template, subject) for template, subject in filled]
    for (template, subject), (ids, _) in zip(filled, located, strict=True):
        check_fits(model, template.replace("{}", subject), len(ids))
    return at_positions(model, located, probe, batch_tokens)


def at_positions(
    model: PreTrainedModel, located: Sequence[tuple[list[int], int]], probe: ModuleSite, batch_tokens: int
) -> torch.Tensor:
    """Activations at one position of each row of token ids, (size, R) float32, one column per (ids, position).

    One forward pass per padded batch, which ends at the module looked at.
    """
    columns: dict[int, torch.Tensor] = {}

    def read(group: list[int]) -> torch.Tensor:
        return _read(model, [located[i] for i in group], probe)

    for group, picked in in_batches([len(ids) for ids, _ in located], batch_tokens, read):
        for i, vector in zip(group, picked, strict=True):
            columns[i] = vector
    return torch.stack([columns[i] for i in range(len(located))], dim=1)


def _read(model: PreTrainedModel, located: Sequence[tuple[list[int], int]], probe: ModuleSite) -> torch.Tensor:
    """(R, size) float32 of rows with their positions."""
    batch = pad([ids for ids, _ in located], device=model.device)
    modules = {"at": module(model, probe.name)}
    with torch.no_grad(), frozen(model), capture(modules, inputs=probe.inputs, stop=True) as seen:
        run(model, batch, use_cache=False)
    hidden = by_row(seen["at"], len(located))
    where = torch.tensor([position for _, position in located], device=hidden.device)
    return hidden[torch.arange(len(located), device=hidden.device), where].float()


def average_keys(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    module_name: str,
    templates: Templates,
    batch_tokens: int,
) -> torch.Tensor:
    """K_IN: the module's input at each fact's position, averaged within a group of templates, then over the groups."""
    group_means = []
    for group in templates:
        filled = [(fill(template, request), request.subject) for request in requests for template in group]
        keys = at_subject(model, tokenizer, filled, ModuleSite(module_name, inputs=True), batch_tokens)
        group_means.append(keys.view(len(keys), len(requests), len(group)).mean(2))
    return torch.stack(group_means).mean(0)


def plain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    probe: ModuleSite,
    batch_tokens: int,
) -> torch.Tensor:
    """Activations at each fact's position in the plain prompt, (size, N) float32."""
    return at_subject(
        model, tokenizer, [(request.template, request.subject) for request in requests], probe, batch_tokens
    )
