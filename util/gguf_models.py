"""Models in a GGUF file: found, read with their weights dequantised, rid of the mark that calls them quantised.

transformers does the reading; what it needs for that are the packages gguf and accelerate. It leaves out, without a
word, what it has no place for; files of which it does so are refused here.
"""

import struct
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from transformers import GgufConfig, PreTrainedModel
from transformers.integrations.gguf import read_gguf_metadata
from transformers.integrations.gguf.utils import is_gguf_arch_supported
from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

from util import paths
from util.errors import UserError

NEEDED = ("gguf", "accelerate")
SCALING = ".rope.scaling."
"""In the names of a file's keys that stretch the rotary embedding; after it: type, factor, …"""
OLD_FACTOR = ".rope.scale_linear"
"""What files called the factor before it had a type."""
SCALES = ("factor", "alpha", "attn_factor", "yarn_attn_factor")
"""Those of the keys whose value changes the numbers by itself, unless it is 1."""


def gguf_file(source: Path) -> Path | None:
    """The GGUF file that a model's place is, or that its folder holds beside no safetensors; None for other models.

    Raises UserError for a folder with several of them, and where the packages that read one are not installed.
    """
    found = paths.gguf_files(source)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{source} holds {len(found)} GGUF files ({names}); name one of them with --model_name")
    lacking = [package for package in NEEDED if find_spec(package) is None]
    if found and lacking:
        raise UserError(
            f"{found[0]} is a GGUF file, and {' and '.join(lacking)} is not installed, which reads it; "
            "install requirements-real.txt (the optional group `real`)"
        )
    return found[0] if found else None


def reading(source: str) -> tuple[str, dict[str, str], dict[str, object]]:
    """(place, options, options of the model alone) for ``from_pretrained``: of a GGUF file, or the source and none.

    The weights are dequantised whatever else is installed: blocks cannot be edited.
    """
    path = gguf_file(Path(source))
    if path is None:
        return source, {}, {}
    return str(path.parent), {"gguf_file": path.name}, {"quantization_config": GgufConfig(dequantize=True)}


def broken(source: str) -> tuple[type[Exception], ...]:
    """What reading raises beside the usual for a GGUF file that is cut off or of an unknown kind."""
    return (KeyError, IndexError, TypeError, NotImplementedError, struct.error) if reading(source)[1] else ()


def unmarked(model: PreTrainedModel) -> PreTrainedModel:
    """The same model without what marks it as quantised: its weights are plain, and are saved as such."""
    if getattr(model, "quantization_method", None) == "gguf":
        quantizer: Any = model.hf_quantizer
        quantizer.remove_quantization_config(model)
    return model


def refuse_left_out(source: str, model: PreTrainedModel, unexpected: Iterable[str]) -> None:
    """UserError for a GGUF file of which the model that was read from it lacks a part; other sources pass.

    unexpected: the names (the model's own) under which tensors were read that the model has no parameter for.
    Refused are tensors that became no parameter (the rotary factors of Llama 3, a bias where the family has none), and
    a scaling of the rotary embedding that the config does not have: the model would give other numbers than the file's.
    """
    path = gguf_file(Path(source))
    if path is None:
        return
    metadata, names = read_gguf_metadata(str(path))
    lacking = [*_unread(path, metadata["general.architecture"], names, model), *sorted(unexpected)]
    instead = "it would give other numbers than the file's; name a folder of the model's safetensors instead"
    if lacking:
        raise UserError(
            f"GGUF file {path} has {len(lacking)} tensor(s) that become no parameter of {type(model).__name__}, "
            f"such as {lacking[0]}: {instead}"
        )
    scaling = _scaling(metadata)
    if scaling and not _is_scaled(model.config.get_text_config(), scaling):
        said = ", ".join(f"{name} {value}" for name, value in scaling.items())
        raise UserError(f"GGUF file {path} scales the rotary embedding ({said}), which is not read from it: {instead}")


def _unread(path: Path, architecture: str, names: Iterable[str], model: PreTrainedModel) -> list[str]:
    """The file's tensors that transformers' own map of names takes into no parameter, in the file's order.

    Of the architectures that it reads another way it tells the unexpected ones itself.
    """
    if is_gguf_arch_supported(architecture):
        return []
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=model.config.to_dict())
    whole = SimpleNamespace(config=model.config, state_dict=model.state_dict, named_children=list)
    taken = get_gguf_hf_weights_map(whole, processor)
    if not set(names) <= set(taken):  # the map of every part by itself too: slow, and most families need none
        taken = get_gguf_hf_weights_map(model, processor)
    unmapped = [name for name in names if name not in taken]
    return [name for name, shape in _shapes(path, unmapped) if not _puts_by_itself(processor, name, shape, taken)]


def _shapes(path: Path, names: list[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, shape as torch has it) of those tensors; nothing is read where there are none."""
    if not names:
        return
    from gguf import GGUFReader  # an optional package

    for tensor in GGUFReader(path).tensors:
        if tensor.name in names:
            yield tensor.name, tuple(int(size) for size in reversed(tensor.shape))


def _puts_by_itself(processor: TensorProcessor, name: str, shape: tuple[int, ...], taken: dict[str, str]) -> bool:
    """Whether the family's processor puts a tensor that the map lacks into its place (GPT-2's head, merged experts).

    It is asked with zeros, which take no memory.
    """
    placed: dict[str, dict] = {"tensors": {}}
    zeros = np.broadcast_to(np.float32(0), shape)
    result = processor.process(zeros, name=name, tensor_key_mapping=taken, parsed_parameters=placed)
    return bool(placed["tensors"]) or result.name in taken


def _scaling(metadata: dict[str, Any]) -> dict[str, Any]:
    """The file's keys about a scaled rotary embedding; none where they say nothing: type none, or every factor 1.

    As llama.cpp reads them: without a type they are linear, and a factor of 0 is 1.
    """
    said = {name.partition(SCALING)[2]: value for name, value in metadata.items() if SCALING in name}
    for name in metadata:
        if name.endswith(OLD_FACTOR):
            said.setdefault("factor", metadata[name])
    kind = said.get("type", "linear")
    scales = {name: said[name] for name in SCALES if name in said}
    plain = all(value == 1 or (name == "factor" and value == 0) for name, value in scales.items())
    return {} if kind == "none" or (plain and (kind == "linear" or "factor" in scales)) else said


def _is_scaled(config: Any, scaling: dict[str, Any]) -> bool:
    """Whether the config has a rotary embedding of that type and factor, for every kind of layer."""
    held = getattr(config, "rope_parameters", None) or {}
    kinds = [one for one in held.values() if isinstance(one, dict)] or [held]
    wanted = (scaling.get("type", "linear"), scaling.get("factor"))
    return all((one.get("rope_type"), one.get("factor")) == wanted for one in kinds)
