"""Methods by name. A new method: one package with `HParams` and `apply_to_model`, and one line here."""

from importlib import import_module
from types import ModuleType

from util.errors import UserError

METHODS: dict[str, str] = {
    "ZeroUnlearn": "zerounlearn",
    "ZeroUnlearn_GD": "zerounlearn.gd",
    "ZeroUnlearn_Local": "zerounlearn.local",
    "ROME": "baselines.rome",
    "MEMIT": "baselines.memit",
    "AlphaEdit": "baselines.alphaedit",
    "FT": "baselines.ft",
    "GA": "baselines.ga",
    "NPO": "baselines.npo",
    "BASE": "baselines.base",
}
"""Name → package, imported when asked for. Tables list the methods in this order."""

FORGETTING = tuple(name for name in METHODS if name != "BASE")
"""The methods that change a model."""

BEST = "ZeroUnlearn_Local"
"""The closed form that unlearns where none is named."""


def method(name: str) -> ModuleType:
    """The package of a method. UserError listing what exists."""
    if name not in METHODS:
        raise UserError(f"unknown method {name!r}; choose from {', '.join(METHODS)}")
    return import_module(METHODS[name])
