"""Undo an edit by switching inputs of the edited matrices off: a binary mask, learnt from some of the facts.

(One trained mask on the edited module undoes most edits of the locate-then-edit kind: arXiv 2605.28839.) An edit
W + Σ δ kᵀ stands in the columns of W that belong to the neurons of its keys k. The mask has one bit a column: what it
learns about the taught facts it has to take from the other columns, which is why it reaches facts that were not taught.
One bit an entry learns any answer by heart and reaches fewer others; one bit a row reaches hardly any (docs/audit.md).

Shape letters: B rows, T tokens, I in.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from transformers import PreTrainedModel

from experiments.auditing.changed_weights import changed_matrices
from experiments.auditing.context import Audited, Outcome
from experiments.auditing.lessons import ask_while_learning, gradients, other_halves
from util.hooks import frozen
from util.likelihood import Answered
from util.modeling import module
from util.weights import read_weight

STEPS = (10, 20, 30)
"""Steps of learning after which the facts are asked."""

RATE, START = 0.2, 1.0
"""Adam's learning rate, and what every column begins with: it is on above 0."""


def mask(audited: Audited) -> Outcome:
    """The prompt, with a mask on the edited matrices' inputs that was learnt from the other half of the facts.

    Controls are asked under a mask that was learnt from other controls' answers, which nobody knows.
    """
    names = changed_matrices(audited.before, audited.after)

    def learning(rows: Sequence[Answered]) -> Generator[int, None, None]:
        return _learnt(audited.after, names, rows, audited.batch_tokens)

    return ask_while_learning(audited, other_halves(audited), learning)


def _learnt(
    model: PreTrainedModel, names: Sequence[str], rows: Sequence[Answered], batch_tokens: int
) -> Generator[int, None, None]:
    """Numbers of steps, the model masked while it waits: no step, then each of STEPS."""
    scores = {name: _scores(model, name) for name in names}
    optimiser = torch.optim.Adam(scores.values(), lr=RATE)
    with frozen(model), masked(model, {name: _straight_through(one) for name, one in scores.items()}):
        yield 0
        for step in range(max(STEPS)):
            found = gradients(model, rows, list(scores.values()), batch_tokens)
            for one, gradient_I in zip(scores.values(), found, strict=True):
                one.grad = gradient_I
            optimiser.step()
            if step + 1 in STEPS:
                yield step + 1


def _scores(model: PreTrainedModel, name: str) -> torch.Tensor:
    W_OI = read_weight(model, name)
    return torch.full((W_OI.shape[1],), START, device=W_OI.device, requires_grad=True)


def _straight_through(scores_I: torch.Tensor) -> Callable[[], torch.Tensor]:
    """The bits of the scores as they are, with the gradient of their sigmoid."""

    def bits_I() -> torch.Tensor:
        soft_I = torch.sigmoid(scores_I)
        return (scores_I > 0).to(soft_I) + soft_I - soft_I.detach()

    return bits_I


@contextmanager
def masked(model: PreTrainedModel, bits: Mapping[str, Callable[[], torch.Tensor]]) -> Iterator[None]:
    """The modules' inputs (B, T, I) times their bits (I,) within the block: the columns of W_OI that are 0 are off."""
    with ExitStack() as stack:
        for name, bits_I in bits.items():

            def switch(_module, arguments, bits_I=bits_I):
                return (arguments[0] * bits_I().to(arguments[0].dtype), *arguments[1:])

            stack.callback(module(model, name).register_forward_pre_hook(switch).remove)
        yield
