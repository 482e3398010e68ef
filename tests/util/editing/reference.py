"""The plain one-fact target search: full forward passes, one fact at a time, logits everywhere. Slow and obvious."""

import torch

from util.editing.contexts import fill, flatten
from util.editing.objective import DRIFT
from util.hooks import by_row, capture, patch
from util.modeling import layer_count
from util.tokens import locate_subject, pad, target_ids


def find_target(model, tokenizer, request, answer, layer, site, hparams, templates, final_logits=False):
    """(a + δ, loss, steps) of one request, by the formula in util.editing.targets and nothing else."""
    answer_ids = target_ids(tokenizer, answer)
    located = [locate_subject(tokenizer, fill(t, request.prompt), request.subject) for t in flatten(templates)]
    drift_ids, drift_at = locate_subject(tokenizer, DRIFT, request.subject)
    rows = [ids + answer_ids[:-1] for ids, _ in located] + [drift_ids]
    at = torch.tensor([fact for _, fact in located] + [drift_at], device=model.device)
    batch = pad(rows, device=model.device)
    anchor = _anchor(model, tokenizer, request, layer, site, hparams)
    lens = layer_count(model) - 1 if final_logits else max(hparams.v_loss_layer, layer)
    norm, head = model.get_submodule(hparams.ln_f_module), model.get_submodule(hparams.lm_head_module)
    delta = torch.zeros_like(anchor, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=hparams.v_lr)
    before = None

    def add(hidden):
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
        for row, (ids, _) in enumerate(located):
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
        with torch.no_grad():
            limit = hparams.clamp_norm_factor * anchor.norm()
            if delta.norm() > limit:
                delta *= limit / delta.norm()
    raise AssertionError("unreachable")


def _anchor(model, tokenizer, request, layer, site, hparams):
    ids, fact = locate_subject(tokenizer, request.prompt, request.subject)
    name = hparams.layer_module_tmp.format(layer) if site == "layer" else hparams.rewrite_module(layer)
    with torch.no_grad(), capture({"at": model.get_submodule(name)}) as seen:
        model(input_ids=torch.tensor([ids], device=model.device))
    return by_row(seen["at"], 1)[0, fact].clone()
