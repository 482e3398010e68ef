"""Tensors in a file that says in its header what it holds: safetensors, whole or not there."""

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.errors import UserError
from util.files import atomically

OS_ERROR = re.compile(r"os error (\d+)")
"""In what safetensors says, which has no number of its own."""

log = logging.getLogger("zerounlearn")


@contextmanager
def tensors_atomically(path: Path) -> Iterator[Path]:
    """`atomically` for a block that writes tensors: what safetensors says of the disk is an OSError like any other."""
    with atomically(path) as temporary:
        try:
            yield temporary
        except SafetensorError as error:
            number = OS_ERROR.search(str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, object]) -> None:
    """Write them in one move. header: anything that JSON holds. OSError where the disk is full or fails."""
    contents = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with tensors_atomically(path) as temporary:
        save_file(contents, temporary, {"header": json.dumps(header, sort_keys=True)})


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a model as it is (``--save_model``), with its tokenizer; the folder appears when it is complete. UserError
    where it cannot be written."""
    try:
        with tensors_atomically(folder) as temporary:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
    except OSError as error:
        raise UserError(
            f"--save_model {folder} cannot be written ({error.strerror or error}); nothing was left there: make room, "
            "or name another folder, and give the same command again"
        ) from error


def read_tensors(
    path: Path, key: object, device: torch.device | str | None
) -> tuple[dict[str, torch.Tensor], dict] | None:
    """(tensors, header) of a file whose header's ``key`` is this one; no tensors are read without a device.

    None where there is no such file (also where it vanishes meanwhile), where it holds something else, and, with a
    warning, where it is damaged.
    """
    try:
        with safe_open(path, framework="pt", device=str(device or "cpu")) as file:
            header = json.loads(file.metadata()["header"])
            if header["key"] != key:
                return None
            names = [] if device is None else file.keys()
            return {name: file.get_tensor(name) for name in names}, header
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        log.warning("file %s is damaged (%s); what it held is made anew", path, error)
        return None
