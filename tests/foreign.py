"""A plugin for runs with coverage: its tracer is off while the libraries' code runs, whose lines nobody counts.

    python -m pytest -p tests.foreign --cov

As a plugin it is imported before the tracer starts, and the libraries with it. Hooks that our code leaves in a model
are traced all the same.
"""

import functools
import sys
from collections.abc import Callable

import datasets  # noqa: F401
import scipy.linalg  # noqa: F401
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationMixin,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GradientCheckpointingLayer

METHODS = {
    PreTrainedModel: ("__call__", "save_pretrained"),
    GenerationMixin: ("generate",),
    GradientCheckpointingLayer: ("__call__",),
    PreTrainedTokenizerBase: ("__call__", "decode", "save_pretrained"),
}
CLASS_METHODS = {
    AutoConfig: ("from_pretrained",),
    AutoModelForCausalLM: ("from_pretrained", "from_config"),
    AutoTokenizer: ("from_pretrained",),
}


def with_tracer(tracer: Callable | None, function: Callable) -> Callable:
    """The function, run under that tracer (None: none), whichever is there before and comes back after."""

    @functools.wraps(function)
    def call(*arguments, **named):
        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            return function(*arguments, **named)
        finally:
            sys.settrace(before)

    return call


def pytest_configure() -> None:
    for cls, names in METHODS.items():
        for name in names:
            setattr(cls, name, with_tracer(None, getattr(cls, name)))
    for cls, names in CLASS_METHODS.items():
        for name in names:
            setattr(cls, name, staticmethod(with_tracer(None, getattr(cls, name))))
    register = nn.Module.register_forward_hook
    nn.Module.register_forward_hook = lambda self, hook, **options: register(
        self, with_tracer(sys.gettrace(), hook), **options
    )
