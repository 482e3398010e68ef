"""The one target optimisation, batched over facts.

For each fact find δ ∈ R^O that, added to an activation a at the fact's position, makes the model say the target:

    minimise over δ  mean over texts of NLL(target tokens) + kl_factor · KL(p_δ ‖ p_0) + v_weight_decay · ‖δ‖ / ‖a‖²

Texts are the context templates around the prompt; the KL divergence compares the next-token distributions at the
subject's last token of the drift text "{subject} is a", where δ is added too. Adam(v_lr), stop below a loss of 0.05 or
at evaluation v_num_grad_steps, ‖δ‖ ≤ clamp_norm_factor · ‖a‖ after each step. The result is a + δ. This is the target
search of ROME (Meng et al. 2022) and MEMIT (2023); as in their released code the decay term does not square ‖δ‖.
In place of Adam stand, where asked for, `cheap_targets.one_step` on the same loss, and `cheap_targets.ignorance`, whose
loss is only told.

The δs of different facts share no parameter, so all facts run in one batch with a loss, an Adam state, a clamp and a
stop each: the sum of their losses has each δ's own gradient. A fact that has stopped leaves the batch.

Shape letters: N facts, O hidden size, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.batching import counted_once, until_they_fit
from util.editing.cheap_targets import ignorance, one_step
from util.editing.contexts import Templates
from util.editing.keys import ModuleSite, plain
from util.editing.objective import SearchBatch, assemble, evaluate, example, penalties
from util.editing.passage import measure
from util.editing.suffixes import Entry
from util.hooks import frozen
from util.hparams import Target, TargetHParams
from util.modeling import layer_count, module
from util.progress import progress_bar
from util.request import Request

STOP_BELOW = 0.05

Site = Literal["layer", "module"]


@dataclass(frozen=True)
class Targets:
    """values_ON: a + δ, float32. anchors_ON: a. steps_N: steps taken from a.

    loss_N: each fact's last loss; NaN where the target is found without one (ignorance: it would cost more than that).
    """

    values_ON: torch.Tensor
    anchors_ON: torch.Tensor
    loss_N: torch.Tensor
    steps_N: torch.Tensor

    def losses(self) -> list[float | None]:
        """loss_N for a report: None where there is none."""
        return [None if math.isnan(loss) else loss for loss in self.loss_N.tolist()]


def joined(parts: Sequence[Targets]) -> Targets:
    """Targets of several lists of facts, as those of one list."""
    return Targets(
        values_ON=torch.cat([part.values_ON for part in parts], dim=1),
        anchors_ON=torch.cat([part.anchors_ON for part in parts], dim=1),
        loss_N=torch.cat([part.loss_N for part in parts]),
        steps_N=torch.cat([part.steps_N for part in parts]),
    )


def module_at(hparams: TargetHParams, layer: int, site: Site) -> str:
    """Name of the module whose output a is; targets lie on its device."""
    return hparams.layer_module_tmp.format(layer) if site == "layer" else hparams.rewrite_module(layer)


def find_targets(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    answers: Sequence[str],
    layer: int,
    site: Site,
    hparams: TargetHParams,
    templates: Templates,
    *,
    batch_tokens: int,
    target: Target = "neutral",
    seed: int = 0,
    final_logits: bool = False,
    progress: bool = False,
) -> Targets:
    """Targets of all requests for the given answers (one each) at one layer.

    site: a is the layer's own output (``layer``; a + δ is MEMIT's z) or the edited module's output (``module``). The
    residual stream makes δ enter the layer's output alike either way, but for models that scale or norm the module's
    output first: there δ takes that passage, too. final_logits: read the NLL from the model's own output rather than
    through the logit lens at max(v_loss_layer, layer) (ROME). target: see `TargetHParams`, whose own may be another
    for other answers; seed draws the names of invented subjects. batch_tokens bounds the padded tokens of one batch;
    running out of GPU memory halves this batch and all that follow, and goes on.
    """
    name = module_at(hparams, layer, site)
    anchors_ON = plain(model, tokenizer, requests, ModuleSite(name), batch_tokens)
    none_N = anchors_ON.new_full((len(requests),), torch.nan)
    solved = Targets(torch.empty_like(anchors_ON), anchors_ON, none_N, torch.zeros_like(none_N))
    if target == "ignorance":
        asked, count = (model, tokenizer, requests, ModuleSite(name)), hparams.invented_subjects
        mean_ON = ignorance(*asked, count=count, seed=seed, batch_tokens=batch_tokens)
        return _unknowing(solved, mean_ON, hparams.target_scale, requests)
    entry = _entry(model, layer, name) if site == "module" else Entry(layer)
    lens = layer_count(model) - 1 if final_logits else max(hparams.v_loss_layer, layer)
    examples = [
        example(tokenizer, request, answer, templates) for request, answer in zip(requests, answers, strict=True)
    ]
    find = {"neutral": _optimise, "one_step": _step_once}[target]
    sizes = [(len(one.texts), max(len(text.ids) for text in one.texts)) for one in examples]
    split, cost = partial(_groups, sizes), partial(_cost, sizes)
    with (
        frozen(model),
        progress_bar(total=len(examples), desc=f"targets, layer {layer}", progress=progress, leave=False) as bar,
    ):

        def work(group: list[int]) -> None:
            group_N, chosen = torch.tensor(group, device=anchors_ON.device), [examples[i] for i in group]
            with counted_once(bar):
                find(model, assemble(model, chosen, entry, lens), group_N, solved, hparams, bar)

        for _ in until_they_fit(split(range(len(examples)), batch_tokens), split, cost, work):
            pass
    _refuse_broken(solved.values_ON.isfinite().all(0) & solved.loss_N.isfinite(), requests)
    return solved


def _entry(model: PreTrainedModel, layer: int, name: str) -> Entry:
    """Where δ enters that is added to what module `name` of the layer gives."""
    passage = measure(model, layer, name)
    return Entry(layer) if passage is None else Entry(layer, module(model, name), passage)


def _groups(sizes: Sequence[tuple[int, int]], facts: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Consecutive facts whose padded texts stay within the budget; at least one fact each.

    sizes: number of texts and longest text of each fact.
    """
    groups: list[list[int]] = []
    rows = longest = 0
    for fact in facts:
        count, length = sizes[fact]
        width = max(longest, length)
        if groups and (rows + count) * width <= batch_tokens:
            groups[-1].append(fact)
            rows, longest = rows + count, width
        else:
            groups.append([fact])
            rows, longest = count, length
    return groups


def _cost(sizes: Sequence[tuple[int, int]], group: Sequence[int]) -> int:
    """Padded tokens of the facts' texts."""
    return sum(sizes[fact][0] for fact in group) * max(sizes[fact][1] for fact in group)


def _optimise(
    model, batch: SearchBatch, group_N: torch.Tensor, solved: Targets, hparams: TargetHParams, bar: tqdm
) -> None:
    """Fill in the targets of one group of facts. Adam works on each coordinate alone, so one optimiser serves all."""
    anchors_NO = solved.anchors_ON.T[group_N]
    norm_N = torch.linalg.vector_norm(anchors_NO, dim=1)
    delta_NO = torch.zeros_like(anchors_NO, requires_grad=True)
    adam = torch.optim.Adam([delta_NO], lr=hparams.v_lr)
    active, drift0 = torch.arange(len(group_N), device=group_N.device), None
    for evaluation in range(1, hparams.v_num_grad_steps + 1):
        nll, drift = evaluate(model, batch, delta_NO[active], hparams)
        drift0 = drift.detach() if drift0 is None else drift0
        loss = nll + penalties(drift, drift0, delta_NO[active], norm_N[active], hparams)
        going = (loss >= STOP_BELOW) & (evaluation < hparams.v_num_grad_steps)
        stopped = group_N[active[~going]]
        solved.values_ON[:, stopped] = (anchors_NO + delta_NO).detach()[active[~going]].T
        solved.loss_N[stopped] = loss.detach()[~going]
        solved.steps_N[stopped] = evaluation - 1
        bar.update(len(stopped))
        if not going.any():
            return
        adam.zero_grad()
        loss[going].sum().backward()
        adam.step()
        _clamp(delta_NO, hparams.clamp_norm_factor * norm_N)
        if not going.all():
            batch, active, drift0 = batch.facts(going.nonzero()[:, 0]), active[going], drift0[going]


class _Loss:
    """δ (N, O) → the loss of each fact (N,). The first call must be at δ = 0, the next ones are held to its drift."""

    def __init__(self, model: PreTrainedModel, batch: SearchBatch, norm_N: torch.Tensor, hparams: TargetHParams):
        self._model, self._batch, self._norm_N, self._hparams = model, batch, norm_N, hparams
        self._drift0: torch.Tensor | None = None

    def __call__(self, delta_NO: torch.Tensor) -> torch.Tensor:
        nll_N, drift = evaluate(self._model, self._batch, delta_NO, self._hparams)
        if self._drift0 is None:
            self._drift0 = drift.detach()
        return nll_N + penalties(drift, self._drift0, delta_NO, self._norm_N, self._hparams)


def _step_once(
    model: PreTrainedModel,
    batch: SearchBatch,
    group_N: torch.Tensor,
    solved: Targets,
    hparams: TargetHParams,
    bar: tqdm,
) -> None:
    """Fill in the targets of one group of facts by `one_step`; a fact whose loss is low enough already stays."""
    anchors_NO = solved.anchors_ON.T[group_N]
    norm_N = torch.linalg.vector_norm(anchors_NO, dim=1)
    loss = _Loss(model, batch, norm_N, hparams)
    delta_NO, loss_N, first_N = one_step(loss, torch.zeros_like(anchors_NO), hparams.clamp_norm_factor * norm_N)
    there_N = first_N < STOP_BELOW
    delta_NO[there_N] = 0
    solved.values_ON[:, group_N] = (anchors_NO + delta_NO).T
    solved.loss_N[group_N] = torch.where(there_N, first_N, loss_N)
    solved.steps_N[group_N] = (delta_NO != 0).any(1).to(solved.steps_N)
    bar.update(len(group_N))


@torch.no_grad()
def _clamp(delta_NO: torch.Tensor, limit_N: torch.Tensor) -> None:
    norm_N = torch.linalg.vector_norm(delta_NO, dim=1)
    delta_NO *= torch.where(norm_N > limit_N, limit_N / norm_N, torch.ones_like(norm_N))[:, None]


def _unknowing(solved: Targets, mean_ON: torch.Tensor, scale: float, requests: Sequence[Request]) -> Targets:
    """Fill in the targets that lie `scale` of the way from the anchors to the invented subjects' mean."""
    solved.values_ON.copy_(solved.anchors_ON + scale * (mean_ON - solved.anchors_ON))
    _refuse_broken(solved.values_ON.isfinite().all(0), requests)
    return solved


def _refuse_broken(finite_N: torch.Tensor, requests: Sequence[Request]) -> None:
    broken = [str(request.case_id) for request, finite in zip(requests, finite_N.tolist(), strict=True) if not finite]
    if broken:
        raise FloatingPointError(
            f"the target search of request(s) {', '.join(broken[:5])} left the finite numbers; "
            "lower v_lr or use --dtype float32"
        )
