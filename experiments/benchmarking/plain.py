"""The plain forms of the machinery's work: full forward passes, one text or fact at a time, logits everywhere.

Slow and obvious: what tests compare results with, and benchmark.py times.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.contexts import Templates, fill, flatten
from util.editing.objective import DRIFT
from util.editing.targets import Site
from util.hooks import by_row, capture, patch
from util.hparams import TargetHParams
from util.modeling import layer_count, module
from util.request import Request
from util.tokens import encode, locate_subject, pad, subject_and_answer

Side = Literal["k", "v"]


def find_target(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    request: Request,
    answer: str,
    layer: int,
    site: Site,
    hparams: TargetHParams,
    templates: Templates,
    final_logits: bool = False,
) -> tuple[torch.Tensor, float, int]:
    """(a + δ, loss, steps) of one request, by the formula in util.editing.targets and nothing else."""
    located = [
        subject_and_answer(tokenizer, fill(t, request), request.subject, answer, request.answer_prefix)
        for t in flatten(templates)
    ]
    drift_ids, drift_at = locate_subject(tokenizer, request.frame.around(DRIFT), request.subject)
    rows = [ids + answer_ids[:-1] for ids, answer_ids, *_ in located] + [drift_ids]
    at = torch.tensor([fact for *_, fact in located] + [drift_at], device=model.device)
    batch = pad(rows, device=model.device)
    anchor = _anchor(model, tokenizer, request, layer, site, hparams)
    lens = layer_count(model) - 1 if final_logits else max(hparams.v_loss_layer, layer)
    norm, head = model.get_submodule(hparams.ln_f_module), model.get_submodule(hparams.lm_head_module)
    delta = torch.zeros_like(anchor, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=hparams.v_lr)
    before: torch.Tensor | None = None

    def add(hidden: torch.Tensor) -> torch.Tensor:
        changed = by_row(hidden, len(rows)).clone()
        changed[torch.arange(len(rows)), at] += delta
        return changed.view(hidden.shape)

    entry = hparams.layer_module_tmp.format(layer) if site == "layer" else hparams.rewrite_module(layer)
    lens_module = model.get_submodule(hparams.layer_module_tmp.format(lens))
    for evaluation in range(1, hparams.v_num_grad_steps + 1):
        with patch(model.get_submodule(entry), add), capture({"lens": lens_module}) as seen:
            logits = model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, position_ids=batch.position_ids
            ).logits
        drift = logits[-1, drift_at].log_softmax(-1)
        before = drift.detach() if before is None else before
        per_text = []
        for row, (ids, answer_ids, *_) in enumerate(located):
            read = slice(len(ids) - 1, len(ids) - 1 + len(answer_ids))
            own_output = lens == layer_count(model) - 1
            lens_logits = logits[row, read] if own_output else head(norm(seen["lens"][row, read]))
            log_p = lens_logits.log_softmax(-1)
            per_text.append(-log_p[torch.arange(len(answer_ids)), answer_ids].mean())
        loss = torch.stack(per_text).mean()
        loss = loss + hparams.kl_factor * (drift.exp() * (drift - before)).sum()
        loss = loss + hparams.v_weight_decay * delta.norm() / anchor.norm() ** 2
        if loss < 0.05 or evaluation == hparams.v_num_grad_steps:
            return (anchor + delta).detach(), loss.item(), evaluation - 1
        adam.zero_grad()
        loss.backward()
        adam.step()
        _clamp(delta, hparams.clamp_norm_factor * anchor.norm())
    raise AssertionError("unreachable")


@torch.no_grad()
def _clamp(delta: torch.Tensor, limit: torch.Tensor) -> None:
    if delta.norm() > limit:
        delta *= limit / delta.norm()


def _anchor(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    request: Request,
    layer: int,
    site: Site,
    hparams: TargetHParams,
) -> torch.Tensor:
    ids, fact = locate_subject(tokenizer, request.template, request.subject)
    name = hparams.layer_module_tmp.format(layer) if site == "layer" else hparams.rewrite_module(layer)
    with torch.no_grad(), capture({"at": model.get_submodule(name)}) as seen:
        model(input_ids=torch.tensor([ids], device=model.device))
    return by_row(seen["at"], 1)[0, fact].clone()


@torch.no_grad()
def moment(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    name: str,
    documents: Sequence[str],
    of: Side = "k",
) -> torch.Tensor:
    """E[k kᵀ] (I, I) of a module's inputs, or E[v kᵀ] (O, I) with its outputs, by one forward pass per document.

    float64 sums of float32 products over every token, BOS included.
    """
    at, total, count = module(model, name), torch.zeros((), dtype=torch.float64), 0
    for text in documents:
        ids = torch.tensor([encode(tokenizer, text)], device=model.device)
        with capture({"at": at}, inputs=True) as keys, capture({"at": at}) as values:
            model(input_ids=ids)
        left = values["at"][0].float() if of == "v" else keys["at"][0].float()
        total, count = total + (left.T @ keys["at"][0].float()).double(), count + ids.shape[1]
    return total / count
