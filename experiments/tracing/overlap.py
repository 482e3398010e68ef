"""How much of an edit of one layer other subjects feel: the overlap of forgotten and protected keys, layer by layer.

Shape letters: I in (intermediate size), N facts, M protected keys, L layers.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.batching import in_batches
from util.editing.keys import ModuleSite, plain
from util.forward import run
from util.hooks import by_row, capture, frozen
from util.invented import invented_names
from util.linalg import spd_factor
from util.modeling import layer_count, module
from util.moments import SecondMoment
from util.request import Request
from util.tokens import encode, pad

RIDGE = 1e-3
"""Added to a moment of few texts, as a share of its mean diagonal entry."""

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
    One layer is looked at after the other, so that one moment is held at a time.
    """
    forms = list({request.template: request for request in forgotten}.values())
    names = iter(invented_names(INVENTED * len(forms), seed))
    strangers = [replace(form, subject=next(names)) for form in forms for _ in range(INVENTED)]
    found = []
    for layer in tqdm(range(layer_count(model)), desc="overlap of keys", disable=not progress, leave=False):
        site = ModuleSite(module_tmp.format(layer), inputs=True)
        factor_II = spd_factor(_moment(model, tokenizer, texts, site, batch_tokens), "the texts' moment", ridge=RIDGE)
        K, *others = (plain(model, tokenizer, rows, site, batch_tokens) for rows in (forgotten, known, strangers))
        found.append(sum(overlap(K, P, factor_II) for P in others) / len(others))
    return found


def _moment(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    site: ModuleSite,
    batch_tokens: int,
) -> torch.Tensor:
    """E[k kᵀ] (I, I) float64 over all tokens of the texts."""
    rows = [encode(tokenizer, text) for text in texts]

    def read(group: list[int]) -> torch.Tensor:
        batch = pad([rows[i] for i in group], device=model.device)
        with torch.no_grad(), frozen(model), capture({"at": module(model, site.name)}, inputs=True, stop=True) as seen:
            run(model, batch, use_cache=False)
        return by_row(seen["at"], len(group))[batch.attention_mask.bool().to(seen["at"].device)]

    moment = None
    for _, keys_TI in in_batches([len(row) for row in rows], batch_tokens, read):
        moment = moment or SecondMoment(keys_TI.shape[1], keys_TI.device)
        moment.update(keys_TI)
    assert moment is not None, "the caller gives texts"
    return moment.value()
