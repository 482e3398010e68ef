"""Run a causal language model: hidden states, and the logits that it makes of them.

What a family does differently is asked of the model itself, by running it; `check_logits` compares the results.

Shape letters: B rows, T tokens, O hidden size, V vocabulary.
"""

import inspect
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer
from transformers.modeling_outputs import BaseModelOutputWithPast

from util.errors import UserError
from util.hooks import answering, first, frozen
from util.tokens import Batch, pad

FOREIGN = (ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)
"""What a model's code raises, beside RuntimeError, when it is run in a way that it is not made for."""


def backbone(model: PreTrainedModel) -> nn.Module:
    """The model below its head: embeddings, decoder layers, final norm."""
    base = model.base_model
    return getattr(model, "model", base) if base is model else base


def decoder(model: PreTrainedModel) -> nn.Module:
    """The part of the backbone that reads text: all of it, but for a multimodal model or a wrapped decoder."""
    found = model.get_decoder()  # any module of such a name, also a head's
    return found if isinstance(found, PreTrainedModel) and found is not model else backbone(model)


def run(model: PreTrainedModel, batch: Batch, **options):
    """Output of the model below its head for a batch, padded on either side; `options` go to its forward.

    What that forward has no name for is left out: a model that takes no positions (ALiBi, recurrence) counts its own.
    """
    takes = inspect.signature(type(backbone(model)).forward).parameters
    batch = batch.to(model.device)
    given = {"attention_mask": batch.attention_mask, "position_ids": batch.position_ids} | options
    return backbone(model)(input_ids=batch.input_ids, **{name: one for name, one in given.items() if name in takes})


def keeps_keys_and_values(model: PreTrainedModel) -> bool:
    """Whether the model's own cache is made for nothing else (recurrence and convolution keep other states)."""
    try:
        layers = DynamicCache(config=model.config).layers
    except FOREIGN:
        return False
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)


def final_hidden(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Hidden states after the final norm, (B, T, O) in the model's dtype; rows may be padded on either side."""
    return run(model, batch, use_cache=False)[0]


@dataclass
class _Hidden(BaseModelOutputWithPast):
    """A backbone's output that has hidden states and nothing else, whatever a family's head asks it for."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def project(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """Logits (…, V) float32 of normed hidden states (…, O): what the model's own forward makes of them.

    The model runs with its backbone answering `hidden`, so that all that a family does to its logits (scale, cap) is
    done. Gradients flow to `hidden`.
    """
    head = model.get_output_embeddings()
    dtype = model.dtype if head is None else head.weight.dtype
    rows = hidden.reshape(1, -1, hidden.shape[-1]).to(dtype)
    ids = torch.zeros(rows.shape[:2], dtype=torch.long, device=model.device)
    with answering({backbone(model), decoder(model)}, _Hidden(last_hidden_state=rows)):
        output = model(input_ids=ids)
    logits = logits_of(output)
    return logits.float().reshape(*hidden.shape[:-1], logits.shape[-1])


def logits_of(output) -> torch.Tensor:
    """The logits in a model's output, be it a tuple or one of transformers' outputs."""
    return first(output) if isinstance(output, tuple) else output.logits


@torch.no_grad()
def check_logits(model: PreTrainedModel) -> None:
    """UserError for a model whose own logits on a short text are not those that `project` makes of `final_hidden`.

    The text is run beside its own beginning, which is padded: so this also tells models that read ahead (and give a
    text's beginning other logits), or that read padding. Passes where the model's own logits are not finite.
    """
    ids = probe_ids(model)
    rows = [ids, ids[: len(ids) // 2 + 1]]
    name = type(model).__name__
    with frozen(model):
        try:
            own = [logits_of(model(input_ids=torch.tensor([row], device=model.device)))[0].float() for row in rows]
            ours = project(model, final_hidden(model, pad(rows, device=model.device)))
        except (RuntimeError, *FOREIGN) as error:
            raise UserError(f"{name} does not run as a causal language model on plain text: {reason(error)}") from error
    if not all(one.isfinite().all() for one in own):
        return
    short = len(rows[1])
    compared = {
        "is no causal model: a text's beginning has other logits without the rest": (own[0][:short], own[1]),
        "gives other logits than its final hidden states and its head do": (ours[0], own[0]),
        "gives other logits in a padded batch": (ours[1, :short], own[1]),
    }
    for fault, (found, right) in compared.items():
        off = relative_error(_centred(found), _centred(right), model.dtype)
        if not off <= noise(model.dtype):
            raise UserError(f"{name} {fault} (off by {off:.1e}); this family is not supported")


def probe_ids(model: PreTrainedModel, count: int = 16) -> list[int]:
    """A short text: distinct ids from the middle of the vocabulary, where no special tokens are."""
    size = model.get_input_embeddings().weight.shape[0]
    return [size // 4 + i * size // (2 * count) for i in range(count)]


def noise(dtype: torch.dtype) -> float:
    """The relative error up to which two ways of computing the same are taken to agree."""
    return 1e-3 if torch.finfo(dtype).eps < 1e-6 else 0.1


def relative_error(found: torch.Tensor, right: torch.Tensor, dtype: torch.dtype) -> float:
    """‖found − right‖ / ‖right‖ of vectors along the last axis, which were computed in `dtype`.

    The largest; in half precision, where single vectors may go astray (a router's near tie), the median.
    """
    right = right.float()
    off = (found.float().to(right.device) - right).norm(dim=-1) / right.norm(dim=-1).clamp(min=1e-30)
    return (off.max() if torch.finfo(dtype).eps < 1e-6 else off.median()).item()


def _centred(logits: torch.Tensor) -> torch.Tensor:
    """Without what all logits of a position have in common, which no probability hangs on."""
    return logits - logits.mean(-1, keepdim=True)


def reason(error: Exception) -> str:
    """An error out of a model's own code, in one line. Running out of memory goes on."""
    if isinstance(error, torch.OutOfMemoryError):
        raise error
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
