"""The unlearned model as a folder that transformers and vLLM load, with a card that names no forgotten fact."""

import json
import shutil
from pathlib import Path

import torch
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from util.errors import UserError
from util.paths import expanded
from util.runs import check_writable
from util.tensor_files import tensors_atomically


def stored_dtype(source: str, model: PreTrainedModel) -> torch.dtype:
    """What the source's weights are stored as; where its configuration does not say, what they were loaded as."""
    if not Path(source).is_file():  # a GGUF file is dequantised
        named = AutoConfig.from_pretrained(source, trust_remote_code=False).get_text_config().dtype
        if isinstance(named, str):
            named = getattr(torch, named, None)
        if isinstance(named, torch.dtype):
            return named
    return model.dtype


def check_folder(folder: Path, source: str) -> None:
    """UserError, before any work is done, where the model cannot be written, or would be written over its source."""
    if Path(source).exists() and expanded(folder).resolve() in (
        Path(source).resolve(),
        *Path(source).resolve().parents,
    ):
        raise UserError(f"--save_model {folder} is where the model is read from; name a new folder")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--save_model {folder} exists and is not an empty folder; name a new one")
    check_writable(folder.parent, "--save_model")


def check_room(folder: Path, model: PreTrainedModel, dtype: torch.dtype) -> None:
    """UserError where the disk has no room for the weights."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    needed = sum(weight.numel() for weight in model.parameters()) * dtype.itemsize
    free = shutil.disk_usage(there).free
    if free < needed:
        raise UserError(
            f"--save_model {folder}: the disk has {free / 1e9:.1f} GB free and the model takes {needed / 1e9:.1f} GB; "
            "make room, or name a folder on another disk"
        )


def write_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, dtype: torch.dtype, card: str
) -> None:
    """Write weights in `dtype`, configuration, generation configuration, tokenizer, chat template and card.

    The folder appears when it is complete. Raises UserError where the disk fills up or fails; nothing is left then.
    """
    try:
        with tensors_atomically(folder) as temporary:
            model.save_pretrained(temporary, state_dict=_stored(model, dtype))
            _name_dtype(temporary / "config.json", dtype)
            tokenizer.save_pretrained(temporary)
            (temporary / "README.md").write_text(card, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--save_model {folder} cannot be written ({error.strerror or error}); nothing was left there, targets and "
            "statistics are kept: make room and give the same command again"
        ) from error


def _stored(model: PreTrainedModel, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The state with its weights in that dtype; tensors that share their memory (tied embeddings) still do."""
    made: dict[tuple[int, torch.Size], torch.Tensor] = {}
    state = {}
    for name, tensor in model.state_dict().items():
        key = (tensor.data_ptr(), tensor.shape)
        if key not in made:
            made[key] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        state[name] = made[key]
    return state


def _name_dtype(path: Path, dtype: torch.dtype) -> None:
    """config.json with the dtype that the weights are stored as; transformers writes the one they are held in."""
    config = json.loads(path.read_text(encoding="utf-8"))
    name = str(dtype).removeprefix("torch.")
    for part in (config, config.get("text_config")):
        if isinstance(part, dict) and "dtype" in part:
            part["dtype"] = name
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
