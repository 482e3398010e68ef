"""How much of an edit of one layer other subjects feel: the overlap of forgotten and protected keys, layer by layer.

Shape letters: I in (intermediate size), N facts, M protected keys, L layers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.batching import in_batches
from util.forward import run
from util.hooks import by_row, capture, frozen
from util.invented import invented_names
from util.linalg import spd_factor
from util.modeling import layer_count, module
from util.moments import SecondMoment
from util.progress import progress_bar
from util.request import Request
from util.tokens import Batch, encode, locate_subject, pad
from util.weights import read_weight

Taken = TypeVar("Taken")

RIDGE = 1e-3
"""Added to a moment of few texts, as a share of its mean diagonal entry."""

HELD = 2**30
"""Bytes of the moments that are held at a time."""

INVENTED = 5
"""Subjects that do not exist, for each prompt form."""


def overlap(K_IN: torch.Tensor, P_IM: torch.Tensor, factor_II: torch.Tensor) -> float:
    """The mean over all pairs of the squared cosine of a forgotten and a protected key in the metric C⁻¹, 0 to 1.

    An additive edit of least corpus damage that moves k by r moves p by r · (kᵀ C⁻¹ p) / (kᵀ C⁻¹ k). For keys of one
    C⁻¹-length the squared cosine is the share of ‖r‖² that p feels. factor_II: Cholesky factor of C.
    """
    K, P = (torch.linalg.solve_triangular(factor_II, keys.double(), upper=False) for keys in (K_IN, P_IM))
    cosine_NM = torch.nn.functional.normalize(K, dim=0).T @ torch.nn.functional.normalize(P, dim=0)
    return cosine_NM.square().mean().item()


def layer_overlaps(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    forgotten: Sequence[Request],
    known: Sequence[Request],
    texts: Sequence[str],
    module_tmp: str,
    *,
    seed: int,
    batch_tokens: int,
    progress: bool = False,
) -> list[float]:
    """`overlap` at every layer, of the forgotten facts' keys with those of known facts and of invented subjects.

    Known and invented subjects count by halves. Invented ones stand in the forgotten facts' prompt forms. texts: of
    whose tokens C is the moment; they must be about neither, since a key that C has seen is far from all others in it.
    As many layers are looked at in one pass as have their moments in `HELD` bytes.
    """
    forms = list({request.template: request for request in forgotten}.values())
    names = iter(invented_names(INVENTED * len(forms), seed))
    strangers = [replace(form, subject=next(names)) for form in forms for _ in range(INVENTED)]
    modules = [module_tmp.format(layer) for layer in range(layer_count(model))]
    at_a_time = max(1, HELD // (8 * read_weight(model, modules[0]).shape[1] ** 2))
    found = []
    with progress_bar(total=len(modules), desc="overlap of keys", progress=progress, leave=False) as bar:
        for first in range(0, len(modules), at_a_time):
            some = modules[first : first + at_a_time]
            moments = _moments(model, tokenizer, texts, some, batch_tokens)
            forgotten_keys, *others = (
                _keys(model, tokenizer, rows, some, batch_tokens) for rows in (forgotten, known, strangers)
            )
            for name in some:
                factor_II = spd_factor(moments.pop(name).value(), "the texts' moment", ridge=RIDGE)
                found.append(sum(overlap(forgotten_keys[name], P[name], factor_II) for P in others) / len(others))
                bar.update()
    return found


def _keys(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    names: Sequence[str],
    batch_tokens: int,
) -> dict[str, torch.Tensor]:
    """Module → keys (I, N) float32 at the subjects' last tokens, in no order."""
    located = [locate_subject(tokenizer, request.template, request.subject) for request in requests]

    def at_subject(inputs: torch.Tensor, group: list[int], _batch: Batch) -> torch.Tensor:
        where = torch.tensor([located[i][1] for i in group], device=inputs.device)
        return inputs[torch.arange(len(group), device=inputs.device), where].float()

    parts = list(_inputs(model, [ids for ids, _ in located], names, batch_tokens, at_subject))
    return {name: torch.cat([part[name] for part in parts]).T for name in names}


def _moments(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    names: Sequence[str],
    batch_tokens: int,
) -> dict[str, SecondMoment]:
    """Module → the second moment over all tokens of the texts."""

    def summed(inputs: torch.Tensor, _group: list[int], batch: Batch) -> SecondMoment:
        moment = SecondMoment(inputs.shape[-1], inputs.device)
        moment.update(inputs[batch.attention_mask.bool().to(inputs.device)])
        return moment

    found: dict[str, SecondMoment] = {}
    for part in _inputs(model, [encode(tokenizer, text) for text in texts], names, batch_tokens, summed):
        for name, moment in part.items():
            if name in found:
                found[name].merge(moment)
            else:
                found[name] = moment
    return found


def _inputs(
    model: PreTrainedModel,
    rows: Sequence[Sequence[int]],
    names: Sequence[str],
    batch_tokens: int,
    take: Callable[[torch.Tensor, list[int], Batch], Taken],
) -> Iterator[dict[str, Taken]]:
    """Per batch, module → what `take` makes of its inputs (rows, tokens, I), the rows' numbers and the batch."""

    def read(group: list[int]) -> dict[str, Taken]:
        batch = pad([rows[i] for i in group], device=model.device)
        kept: dict[str, Taken] = {}
        modules = {name: module(model, name) for name in names}
        with torch.no_grad(), frozen(model), capture(modules, inputs=True, stop=True) as seen:
            run(model, batch, use_cache=False)
        for name in names:
            kept[name] = take(by_row(seen.pop(name), len(group)), group, batch)
        return kept

    for _, kept in in_batches([len(row) for row in rows], batch_tokens, read):
        yield kept
