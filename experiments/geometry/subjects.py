"""Keys at the subjects' last tokens, in every layer by one pass.

Shape letters: I in, N facts.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.batching import in_batches
from util.forward import run
from util.hooks import by_row, capture, frozen
from util.modeling import module
from util.request import Request
from util.tokens import locate_subject, pad


def keys_of_all(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    names: Sequence[str],
    batch_tokens: int,
) -> dict[str, torch.Tensor]:
    """Module → K (I, N) float32 of the plain prompts, for modules named in the order in which the model runs them."""
    located = [locate_subject(tokenizer, request.template, request.subject) for request in requests]
    modules = {name: module(model, name) for name in names}

    def read(group: list[int]) -> dict[str, torch.Tensor]:
        rows = torch.arange(len(group))
        where = torch.tensor([located[i][1] for i in group])

        def at_subjects(hidden: torch.Tensor) -> torch.Tensor:
            return by_row(hidden, len(group))[rows.to(hidden.device), where.to(hidden.device)].float()

        batch = pad([located[i][0] for i in group], device=model.device)
        with torch.no_grad(), frozen(model), capture(modules, inputs=True, stop=True, take=at_subjects) as seen:
            run(model, batch, use_cache=False)
        return seen

    columns: dict[str, dict[int, torch.Tensor]] = {name: {} for name in names}
    for group, seen in in_batches([len(ids) for ids, _ in located], batch_tokens, read):
        for name in names:
            columns[name] |= dict(zip(group, seen[name], strict=True))
    return {name: torch.stack([found[i] for i in range(len(requests))], dim=1) for name, found in columns.items()}
