"""Models in a GGUF file: found, read with their weights dequantised, rid of the mark that calls them quantised.

transformers does the reading; what it needs for that are the packages gguf and accelerate.
"""

import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import GgufConfig, PreTrainedModel

from util.errors import UserError

SUFFIX = ".gguf"
NEEDED = ("gguf", "accelerate")


def gguf_file(source: Path) -> Path | None:
    """The GGUF file that a model's place is, or that its folder holds beside no safetensors; None for other models.

    Raises UserError for a folder with several of them, and where the packages that read one are not installed.
    """
    if source.is_dir():
        found = [] if any(source.glob("*.safetensors")) else sorted(source.glob(f"*{SUFFIX}"))
    else:
        found = [source] if source.suffix == SUFFIX and source.is_file() else []
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{source} holds {len(found)} GGUF files ({names}); name one of them with --model_name")
    lacking = [package for package in NEEDED if find_spec(package) is None]
    if found and lacking:
        raise UserError(
            f"{found[0]} is a GGUF file, and {' and '.join(lacking)} is not installed, which reads it; "
            "install requirements-extra.txt (the optional group `real`)"
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
