"""Targets without a search: what the model holds of somebody it knows nothing about, and one step down the gradient.

Shape letters: N facts, O hidden size.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.keys import ModuleSite, plain
from util.invented import invented_names
from util.request import Request

STEPS = (0.25, 0.5, 1.0)
"""Lengths that `one_step` tries, as shares of the longest allowed."""


def ignorance(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    probe: ModuleSite,
    *,
    count: int,
    seed: int,
    batch_tokens: int,
) -> torch.Tensor:
    """The mean activation (O, N) float32 at the last token of `count` invented subjects, in each request's prompt form.

    It is the state from which the model goes on when it knows nothing about the subject. Requests of one prompt form
    get the same column; no gradient is taken.
    """
    forms = {(request.prompt, request.frame): request for request in requests}
    names = invented_names(count, seed)
    strangers = [replace(request, subject=name) for request in forms.values() for name in names]
    states = plain(model, tokenizer, strangers, probe, batch_tokens)
    means = dict(zip(forms, states.view(len(states), len(forms), count).mean(2).T, strict=True))
    return torch.stack([means[request.prompt, request.frame] for request in requests], dim=1)


def one_step(
    loss: Callable[[torch.Tensor], torch.Tensor], start_NO: torch.Tensor, longest_N: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """δ (N, O), its loss and the loss at the start (N,): the best of the start and `STEPS` along its steepest descent.

    loss: δ (N, O) → (N,), each fact's own. Every step is δ = start − t · longest · g / ‖g‖ with g the gradient at the
    start: one backward pass, three evaluations without one. The loss never ends above the start's; a fact whose
    gradient vanishes stays.
    """
    start_NO = start_NO.detach().requires_grad_(True)
    first_N = loss(start_NO)
    (gradient_NO,) = torch.autograd.grad(first_N.sum(), start_NO)
    direction_NO = torch.nn.functional.normalize(gradient_NO, dim=1)
    best_NO, best_N = start_NO.detach().clone(), first_N.detach().clone()
    with torch.no_grad():
        for share in STEPS:
            tried_NO = start_NO - share * longest_N[:, None] * direction_NO
            tried_N = loss(tried_NO)
            better_N = tried_N < best_N
            best_NO = torch.where(better_N[:, None], tried_NO, best_NO)
            best_N = torch.where(better_N, tried_N, best_N)
    return best_NO, best_N, first_N.detach()
