"""Read or replace activations while a block runs. Hooks are always removed, also when the block raises.

Decoder layers return a tensor in transformers 5 and a tuple in older releases and some families; `first` and
`with_first` hide the difference.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TypeVar

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel


def first(output) -> torch.Tensor:
    """The hidden state in a module's output, whether it is a tensor or a tuple that begins with one."""
    return output[0] if isinstance(output, tuple) else output


def with_first(output, hidden: torch.Tensor):
    """The output with its hidden state replaced, in the container it came in."""
    return (hidden, *output[1:]) if isinstance(output, tuple) else hidden


def by_row(hidden: torch.Tensor, rows: int) -> torch.Tensor:
    """Activations as (rows, tokens, size), also where a family (OPT) runs a module on flattened rows."""
    return hidden.view(rows, -1, hidden.shape[-1])


Name = TypeVar("Name")


class _StopForward(Exception):
    """Raised inside a forward pass once all that was wanted has been seen."""


@contextmanager
def _removing(handles: list) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def capture(
    modules: dict[Name, nn.Module],
    *,
    inputs: bool = False,
    stop: bool = False,
    take: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Iterator[dict[Name, torch.Tensor]]:
    """Collect each module's output (or its first positional input) under its name.

    modules: name → module, in the order in which the forward pass reaches them. With ``stop`` the pass ends at the
    last one; the block does not see the exception. Tensors are kept as they are, attached to the graph if there is one;
    with `take` only what it makes of each is kept, so that the tensor itself may go.
    """
    seen: dict[Name, torch.Tensor] = {}
    last = next(reversed(modules), None)

    def keep(name):
        def hook(_module, arguments, output):
            found = arguments[0] if inputs else first(output)
            seen[name] = take(found) if take else found
            if stop and name == last:
                raise _StopForward

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    with _removing(handles), suppress(_StopForward):
        yield seen


@contextmanager
def noting_tuples(module: nn.Module) -> Iterator[list[bool]]:
    """Note at every call of the module whether its output is a tuple: who answers in its place must do as it does."""
    noted: list[bool] = []
    handle = module.register_forward_hook(lambda _module, _arguments, output: noted.append(isinstance(output, tuple)))
    with _removing([handle]):
        yield noted


@contextmanager
def patch(module: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """Pass the module's output through `change` (hidden state in, hidden state out) within the block."""

    def hook(_module, _arguments, output):
        return with_first(output, change(first(output)))

    with _removing([module.register_forward_hook(hook)]):
        yield


@contextmanager
def answering(modules: Iterable[nn.Module], answer: object) -> Iterator[None]:
    """Modules that compute nothing and all give `answer`.

    Whatever `forward` an instance carried before (accelerate sets one) is put back.
    """
    saved = [(module, module.__dict__.get("forward")) for module in modules]
    try:
        for module, _ in saved:
            module.forward = lambda *_args, **_kwargs: answer
        yield
    finally:
        for module, forward in saved:
            if forward is None:
                module.__dict__.pop("forward", None)
            else:
                module.forward = forward


def replaced(layers: Iterable[nn.Module], hidden: torch.Tensor, as_tuple: bool) -> AbstractContextManager[None]:
    """Decoder layers that all answer `hidden`, so that a forward pass starts above them.

    as_tuple: whether these layers return tuples.
    """
    return answering(layers, (hidden,) if as_tuple else hidden)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """The model in eval mode and with no parameter asking for a gradient; both as before at the end of the block."""
    modes = [(module, module.training) for module in model.modules()]
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        if any(training for _, training in modes):
            model.eval()
        for parameter in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            if module.training != training:  # reading a module's mode is cheap, writing it is not, and blocks nest
                module.training = training
        for parameter in wanted:
            parameter.requires_grad_(True)


@contextmanager
def generating_by(model: PreTrainedModel, settings: GenerationConfig) -> Iterator[None]:
    """These settings alone: `generate` fills what is given to it from the checkpoint's own where it is None."""
    own = model.generation_config
    model.generation_config = settings
    try:
        yield
    finally:
        model.generation_config = own
