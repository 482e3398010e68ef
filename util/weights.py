"""Weights as (out, in) matrices however their module stores them, fingerprints, and edits that can be undone.

Shape letters: O out, I in.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from util.errors import UserError
from util.modeling import module

NAMES = ("_name_or_path", "architectures", "auto_map", "transformers_version")
STORAGE = ("dtype", "torch_dtype", "use_cache", "pretraining_tp")
TRAINING = ("initializer_range",)
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id", "sep_token_id")
BESIDE = ("id2label", "label2id", "problem_type", "return_dict", "output_attentions", "output_hidden_states")
NOT_COMPUTED = frozenset({*NAMES, *STORAGE, *TRAINING, *TOKENS, *BESIDE})
"""Settings of a config on which no logit hangs beside the weights: what it is called, how it is kept and was begun,
tokens that stand in its tokenizer, and what a caller is given beside the logits."""


def read_weight(model: nn.Module, module_name: str) -> torch.Tensor:
    """W_OI of a Linear or Conv1D (which stores the transpose); a view, detached."""
    layer = module(model, module_name)
    if isinstance(layer, nn.Linear) and not layer.weight.is_floating_point():
        raise UserError(f"the weights of {module_name!r} are quantised ({layer.weight.dtype}); load others")
    if isinstance(layer, Conv1D):
        return layer.weight.detach().T
    if isinstance(layer, nn.Linear):
        return layer.weight.detach()
    raise UserError(
        f"module {module_name!r} is a {type(layer).__name__}; "
        "rewrite_module_tmp must name a linear layer of each decoder layer"
    )


@dataclass
class WeightEdits:
    """What a method changed, and how to take it back.

    original: name of every changed parameter → CPU copy of its value before.
    seconds: time per stage (``targets``, ``solve``, …). diagnostics: what the method has to say about its run, per
    request or per layer. keys: module name → keys written (I, n), for methods that protect earlier edits.
    """

    original: dict[str, torch.Tensor] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, torch.Tensor] = field(default_factory=dict)

    def remember(self, model: nn.Module, module_name: str) -> None:
        """Keep the weight's present value, once: a second edit of it leaves the first copy alone."""
        name = f"{module_name}.weight"
        if name not in self.original:
            self.original[name] = model.get_parameter(name).detach().to("cpu", copy=True)

    def write(self, model: nn.Module, module_name: str, W_OI: torch.Tensor) -> None:
        """Replace the weight, rounding to its dtype; refuses values that are not finite in it."""
        weight_OI = read_weight(model, module_name)
        if not torch.isfinite(W_OI.to(weight_OI.dtype)).all():
            raise FloatingPointError(f"the new weight of {module_name} is not finite; nothing was written to it")
        self.remember(model, module_name)
        weight_OI.copy_(W_OI)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's seconds to a stage, waiting for the GPU where there is one."""
        start = time.perf_counter()
        try:
            yield
        finally:
            _wait()
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def extend(self, later: "WeightEdits") -> None:
        """Take a later step's edits in, so that `undo` takes both back: of a weight that both changed the older copy
        is the one to keep. The later edits keep nothing of their own; keys are theirs, which hold earlier ones where
        a method carries them on.
        """
        for name in list(later.original):
            self.original.setdefault(name, later.original.pop(name))
        self.keys |= later.keys

    @contextmanager
    def undone_on_failure(self, model: nn.Module) -> Iterator[None]:
        """If the block raises, put every weight back that was changed so far."""
        try:
            yield
        except BaseException:
            self.undo(model)
            raise

    def undo(self, model: nn.Module) -> None:
        """Put every changed parameter back, bit by bit."""
        for name, value in self.original.items():
            model.get_parameter(name).detach().copy_(value)


def _wait() -> None:
    """Until every GPU that this process keeps something on has done what it was given."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            if torch.cuda.memory_allocated(index):
                torch.cuda.synchronize(index)


def weights_hash(model: nn.Module) -> str:
    """Fingerprint of all parameters: names, shapes, dtypes and two checksums of the stored bits of each.

    A plain and a position-weighted wrapping sum, computed where the weights lie, so that an 8B model takes a moment on
    a GPU. It tells checkpoints and edits apart; it is no defence against somebody who wants a collision.
    """
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype} {checksums(parameter.detach())}".encode())
    return digest.hexdigest()


def model_hash(model: PreTrainedModel) -> str:
    """Fingerprint of what a model computes, for whatever is kept of running it: other settings of the config, such as
    a base of the rotary embedding or an epsilon, make another function of the same weights.

    sha256 over `weights_hash`, the class, the buffers that are stored with the weights, the settings of the text's
    config less NOT_COMPUTED, and the tokens that end a text which it writes. One model has one hash wherever it lies,
    and once it is saved and loaded again.
    """
    stored = model.state_dict(keep_vars=True)
    kept = {name: buffer for name, buffer in model.named_buffers() if name in stored}
    settings = model.config.get_text_config().to_diff_dict()
    ends = model.generation_config.eos_token_id
    content = {
        "weights": weights_hash(model),
        "class": type(model).__name__,
        "buffers": {name: [str(one.dtype), *one.shape, *checksums(one)] for name, one in kept.items()},
        "settings": _as_numbers({name: value for name, value in settings.items() if name not in NOT_COMPUTED}),
        "ends": sorted(ends) if isinstance(ends, list) else [] if ends is None else [ends],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _as_numbers(value: Any) -> Any:
    """The same settings with every number a float: 10000 and 10000.0 are one."""
    if isinstance(value, Mapping):
        return {str(name): _as_numbers(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_numbers(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def checksums(tensor: torch.Tensor) -> tuple[int, int]:
    """Plain and position-weighted wrapping sums of a tensor's stored bits, in chunks that a CPU's caches hold."""
    chunk = 1 << (24 if tensor.is_cuda else 18)
    integer = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    plain, weighted = 0, 0
    for start, part in enumerate(tensor.contiguous().view(-1).view(integer).split(chunk)):
        bits = part.to(torch.int64)
        place = torch.arange(1, len(bits) + 1, device=bits.device) + start * chunk
        plain += int(bits.sum())
        weighted += int((bits * place).sum())
    return plain % (1 << 64), weighted % (1 << 64)
