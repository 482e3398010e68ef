"""A patch: what a method changed in a model's weights, small, exact both ways, without a fact in plain text.

patch = make_patch(model, edits, base_hash=…, model_name="world", alg_name="MEMIT", hparams=hparams, facts=requests)
patch.write(path)
Patch.read(path).apply(base_model)      # bit by bit the edited model; .revert(model) bit by bit the base
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from experiments.requests.weight_change import WeightChange, change_between
from util.errors import UserError
from util.hparams import HParams
from util.request import Request
from util.tensor_files import write_tensors
from util.weights import WeightEdits, checksums, weights_hash

FORMAT, VERSION = "zerounlearn patch", 1

Side = Literal["base", "edited"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a patch comes from. base, edited: `weights_hash` of the model before and after. model_name: what the base
    was called. alg_name, hparams: the method. statistics: what identifies its second moments, None without. salt:
    random, of `facts`, which are hashes (`fact_hash`). parts: origins of the patches that it was composed of.
    """

    base: str
    edited: str
    model_name: str
    alg_name: str
    hparams: Mapping[str, Any]
    statistics: str | None
    salt: str
    facts: tuple[str, ...]
    parts: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Patch:
    """changes: parameter's name → how it was changed; parameters that are as before have none."""

    origin: Origin
    changes: Mapping[str, WeightChange] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of its tensors."""
        return sum(change.size for change in self.changes.values())

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights that it fits."""
        return next(iter(self.changes.values())).dtype

    def side(self, model: nn.Module) -> Side | None:
        """Whether these are the weights before the change, after it, or neither."""
        found = weights_hash(model)
        return "base" if found == self.origin.base else "edited" if found == self.origin.edited else None

    def apply(self, model: nn.Module) -> None:
        """Base → edited, in place. UserError, the model as it was, for other weights than the patch's base."""
        self._turn(model, "base", WeightChange.apply)

    def revert(self, model: nn.Module) -> None:
        """Edited → base, in place. UserError, the model as it was, for other weights than what the patch makes."""
        self._turn(model, "edited", WeightChange.revert)

    def _turn(
        self, model: nn.Module, wanted: Side, turned: Callable[[WeightChange, torch.Tensor], torch.Tensor]
    ) -> None:
        if self.side(model) != wanted:
            raise UserError(self._refusal(model, wanted))
        old = {name: model.get_parameter(name).detach() for name in self.changes}
        new = {name: turned(change, old[name]) for name, change in self.changes.items()}
        kept = {name: value.to("cpu", copy=True) for name, value in old.items()}
        _put(old, new)
        if weights_hash(model) != (self.origin.edited if wanted == "base" else self.origin.base):
            _put(old, kept)
            raise UserError("the patch does not lead to the weights that it names: it is damaged; make it anew")

    def _refusal(self, model: nn.Module, wanted: Side) -> str:
        names = {"base": "the base of this patch", "edited": "what this patch makes of its base"}
        found = self.side(model)
        if found:
            return f"the model is {names[found]}, not {names[wanted]}; nothing is left to do"
        dtypes = {str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters()}
        return (
            f"the model is not {names[wanted]}, {self.origin.model_name!r} in "
            f"{str(self.dtype).removeprefix('torch.')} (its weights, in {'/'.join(sorted(dtypes))}, have another "
            "hash); name the model that the patch was made from"
        )

    def names(self, fact: Request) -> bool:
        """Whether the patch was made to forget that fact."""
        return fact_hash(fact, self.origin.salt) in self.origin.facts

    def write(self, path: Path) -> None:
        """One safetensors file, whole or not there. UserError where it cannot be written."""
        tensors = {f"{name}/{part}": t for name, change in self.changes.items() for part, t in change.tensors().items()}
        header = {
            "format": FORMAT,
            "version": VERSION,
            "origin": asdict(self.origin),
            "weights": {name: change.described() for name, change in self.changes.items()},
        }
        try:
            write_tensors(path, tensors, header | {"digest": _digest(header, tensors)})
        except OSError as error:
            raise UserError(f"patch {path} cannot be written ({error.strerror}); nothing was left there") from error

    @classmethod
    def read(cls, path: Path) -> "Patch":
        """UserError for a file that is no patch, is of a newer version, or was changed since it was written."""
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["header"])
                if header["format"] != FORMAT:
                    raise KeyError("format")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except FileNotFoundError as error:
            raise UserError(f"patch {path} does not exist; correct --patch") from error
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path} is no patch of ours ({error}); name a file that --save_patch has written"
            ) from error
        if header.get("version") != VERSION:
            raise UserError(
                f"patch {path} has version {header.get('version')}, this release reads {VERSION}; update it"
            )
        if _digest({key: header.get(key) for key in header if key != "digest"}, tensors) != header.get("digest"):
            raise UserError(f"patch {path} is damaged: it does not have the contents that it was written with")
        return cls(
            _origin(header["origin"]), {name: _change(name, at, tensors) for name, at in header["weights"].items()}
        )


def _put(parameters: Mapping[str, torch.Tensor], values: Mapping[str, torch.Tensor]) -> None:
    for name, value in values.items():
        parameters[name].copy_(value)


def _origin(values: dict[str, Any]) -> Origin:
    return Origin(**values | {"facts": tuple(values["facts"]), "parts": tuple(values["parts"])})


def _change(name: str, described: dict[str, Any], tensors: Mapping[str, torch.Tensor]) -> WeightChange:
    own = {key.rpartition("/")[2]: value for key, value in tensors.items() if key.rpartition("/")[0] == name}
    return WeightChange.of(described, own)


def _digest(header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    """Of everything that a file holds."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fact_hash(fact: Request, salt: str) -> str:
    """What stands for a fact where it must not be read: scrypt of prompt, subject and answer.

    Who has the fact can check it, and who guesses facts pays some milliseconds for each guess.
    """
    told = json.dumps([fact.prompt, fact.subject, fact.target_true], ensure_ascii=False).encode()
    return hashlib.scrypt(told, salt=bytes.fromhex(salt), n=1 << 11, r=8, p=1, dklen=16).hex()


def make_patch(
    model: nn.Module,
    edits: WeightEdits,
    *,
    base_hash: str,
    model_name: str,
    alg_name: str,
    hparams: HParams,
    facts: Sequence[Request],
    statistics: str | None = None,
    salt: str | None = None,
) -> Patch:
    """The patch from what `edits` remembers to the model as it is now.

    base_hash: `weights_hash` of the model before. model_name: what it is found under again. statistics: what
    identifies the second moments. salt: hexadecimal, 16 random bytes where none is given. Raises UserError where no
    weight was changed.
    """
    salt = salt or secrets.token_hex(16)
    origin = Origin(
        base=base_hash,
        edited=weights_hash(model),
        model_name=model_name,
        alg_name=alg_name,
        hparams=hparams.model_dump(mode="json"),
        statistics=statistics,
        salt=salt,
        facts=tuple(fact_hash(fact, salt) for fact in facts),
    )
    return Patch(origin, changes_of(model, edits.original))


def changes_of(model: nn.Module, original: Mapping[str, torch.Tensor]) -> dict[str, WeightChange]:
    """Parameter → its change from the value in `original`, for those whose bits differ. UserError where none does."""
    now = {name: model.get_parameter(name).detach() for name in original}
    changed = [name for name, old in original.items() if checksums(old) != checksums(now[name].cpu())]
    if not changed:
        raise UserError("no weight was changed: there is nothing to make a patch of")
    return {name: change_between(original[name], now[name]) for name in changed}
