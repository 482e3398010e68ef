"""Settings as flags: a field of a frozen pydantic model is a flag of the command line, its check, and its help text."""

import argparse
import math
import re
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from baselines.registry import FORGETTING
from util.errors import UserError
from util.runs import Parser

Decides = Literal["base", "run", "nothing"]


@dataclass(frozen=True)
class Flag:
    """What a field is on the command line, and what it decides.

    decides: ``base``, the scores before and after the edit; ``run``, those after it alone; ``nothing``, because of
    `reason`. read: text → value, where the field's type does not say it; raises ArgumentTypeError. choices: of a field
    that is a list. bare: what the flag stands for without a value. name: where it is not the field's.
    """

    help: str
    decides: Decides = "nothing"
    reason: str = ""
    group: str = "run"
    read: Callable[[str], object] | None = None
    choices: Sequence[str] | None = None
    metavar: str | None = None
    bare: str | None = None
    name: str | None = None


class Settings(BaseModel):
    """Base of what scripts read their flags into: frozen, checked as a whole, without unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, argv: Sequence[str] | None, prog: str, description: str | None) -> Self:
        """A command line, read and checked. Raises UserError, one line, for what no run can have."""
        values = vars(parser(cls, prog, description).parse_args(argv))
        return cls.checked(**{name: values[name] for name in cls.model_fields})

    @classmethod
    def checked(cls, **values: object) -> Self:
        """The settings of these values; UserError, naming the flag, for what no run can have."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise UserError(_complaint(error, cls)) from error

    def changed(self, **values: object) -> Self:
        """The same settings but for some, checked anew."""
        return self.checked(**dict(self) | values)

    def arguments(self) -> list[str]:
        """The command line that gives these settings."""
        parts = []
        for name, field in type(self).model_fields.items():
            value, shown = getattr(self, name), flag_of(field).name or name
            if value == field.default:
                continue
            if isinstance(value, bool):
                parts.append(f"--{shown}" if value else f"--no-{shown}")
            else:
                parts += [f"--{shown}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
        return parts


def flag_of(field: FieldInfo) -> Flag:
    """The flag of a field; every field has one."""
    return next(one for one in field.metadata if isinstance(one, Flag))


def parser(settings: type[Settings], prog: str, description: str | None) -> Parser:
    """A parser with a flag for each field."""
    made = Parser(prog=prog, description=description)
    add_flags(made, settings)
    return made


def add_flags(parser: argparse.ArgumentParser, settings: type[Settings]) -> None:
    """A flag for each field, in its group."""
    groups: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        flag = flag_of(field)
        if flag.group not in groups:
            groups[flag.group] = parser.add_argument_group(flag.group)
        groups[flag.group].add_argument(f"--{flag.name or name}", dest=name, **_options(field, flag))


def _options(field: FieldInfo, flag: Flag) -> dict[str, Any]:
    kind = _without_none(field.annotation)
    options: dict[str, Any] = {"help": flag.help, "default": field.default}
    if kind is bool:
        return options | {"action": argparse.BooleanOptionalAction if field.default else "store_true"}
    if typing.get_origin(kind) is tuple:
        kind = typing.get_args(kind)[0]
        options |= {"nargs": "+"}
    if typing.get_origin(kind) is Literal:
        options |= {"choices": list(typing.get_args(kind))}
    elif flag.choices:
        options |= {"choices": list(flag.choices)}
    else:
        options |= {"type": flag.read or kind}
    if flag.bare:
        options |= {"nargs": "?", "const": flag.bare}
    return options | ({"metavar": flag.metavar} if flag.metavar else {})


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _complaint(error: ValidationError, cls: type[Settings]) -> str:
    """The first problem, with the flag to correct."""
    problem = error.errors()[0]
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ")
    name = str(problem["loc"][0])
    if problem["type"] == "greater_than_equal":
        field = cls.model_fields[name]
        or_none = ", or leave it out" if field.default is None else ""
        return f"--{name} {problem['input']}: give at least {problem['ctx']['ge']}{or_none}"
    return f"--{name} {problem['input']!r}: {problem['msg']}"


def tokens_or_auto(text: str) -> int | None:
    """Padded tokens of a batch, on a command line: a number, or ``auto`` (None)."""
    if text == "auto":
        return None
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither 'auto' nor a number above 0")


def positive_seconds(text: str) -> float:
    """A time on a command line: a number above 0."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if found > 0:
        return found
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")


def seed_number(text: str) -> int:
    """A whole number that every generator takes, on a command line."""
    if re.fullmatch(r"-?\d{1,9}", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at most 9 digits")


def forgetting(text: str) -> str:
    """The name of a method, on a command line where BASE, which changes nothing, has no place."""
    if text == "BASE":
        raise argparse.ArgumentTypeError(f"BASE forgets nothing; choose one of {', '.join(FORGETTING)}")
    return text


def share(text: str) -> float:
    """A number above 0 and below 1, on a command line."""
    try:
        if 0 < float(text) < 1:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no share above 0 and below 1")
