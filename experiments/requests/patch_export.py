"""A patch as a LoRA adapter in the files that `peft` reads.

LoRA adds (lora_alpha / r) · B A to a weight, B (out, r) and A (r, in); with lora_alpha = r that is B A.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from experiments.requests.patches import Patch
from util.errors import UserError
from util.low_rank import truncated
from util.modeling import module
from util.runs import write_json
from util.tensor_files import tensors_atomically

DEFAULT_RANK = 64
"""Of a change that has no low rank, where none is asked for."""


@dataclass(frozen=True)
class Adapted:
    """One module. up_Or, down_rI: B and A, float32. error: ‖change − B A‖_F / ‖change‖_F of what is written."""

    up_Or: torch.Tensor
    down_rI: torch.Tensor
    error: float

    @property
    def rank(self) -> int:
        return self.up_Or.shape[1]


def adapted(model: PreTrainedModel, patch: Patch, rank: int | None = None) -> dict[str, Adapted]:
    """Module → its adapter, for a model that is the patch's base.

    rank: at most so many directions a module; None takes all where the change is of low rank, else 64. Raises UserError
    for a patch that changes anything but the weights of linear layers.
    """
    if patch.side(model) != "base":
        raise UserError(f"the model is not the patch's base, {patch.origin.model_name!r}; correct --model_name")
    return {name.removesuffix(".weight"): _adapted(model, patch, name, rank) for name in patch.changes}


def _adapted(model: PreTrainedModel, patch: Patch, name: str, rank: int | None) -> Adapted:
    module_name = name.removesuffix(".weight")
    layer = module(model, module_name) if module_name != name else None
    if not isinstance(layer, torch.nn.Linear | Conv1D):
        raise UserError(f"the patch changes {name}, which is no weight of a linear layer: LoRA cannot express it")
    change = patch.changes[name]
    before = model.get_parameter(name).detach().cpu()
    D_OI = change.apply(before).double() - before.double()
    D_OI = D_OI.T if isinstance(layer, Conv1D) else D_OI
    thin = change.factors is not None and change.factors.scale == 1.0
    most = rank or (change.factors.rank if thin and change.factors else DEFAULT_RANK)
    up, down, _ = truncated(D_OI, most)
    up, down = up.float(), down.float()
    error = float((D_OI - up.double() @ down.double()).norm() / D_OI.norm())
    return Adapted(up, down, error)


def write_adapter(model: PreTrainedModel, modules: Mapping[str, Adapted], model_name: str, folder: Path) -> None:
    """adapter_config.json and adapter_model.safetensors, in a folder that appears whole."""
    tensors = {}
    for name, one in modules.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = one.down_rI.contiguous()
        tensors[f"base_model.model.{name}.lora_B.weight"] = one.up_Or.contiguous()
    with tensors_atomically(folder) as temporary:
        temporary.mkdir()
        save_file(tensors, temporary / "adapter_model.safetensors", {"format": "pt"})
        write_json(temporary / "adapter_config.json", _config(model, modules, model_name))


def _config(model: PreTrainedModel, modules: Mapping[str, Adapted], model_name: str) -> dict[str, Any]:
    """What peft's LoraConfig holds; ranks that differ from the largest are named module by module."""
    largest = max(one.rank for one in modules.values())
    lower = {re.escape(name): one.rank for name, one in modules.items() if one.rank != largest}
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": model_name,
        "inference_mode": True,
        "r": largest,
        "lora_alpha": largest,
        "rank_pattern": lower,
        "alpha_pattern": lower,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": any(isinstance(module(model, name), Conv1D) for name in modules),
        "target_modules": sorted(modules),
    }
