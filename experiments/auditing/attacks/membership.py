"""Membership inference: does the model find the fact's statement more familiar than that of an invented subject?

Only tokens after the subject are read, which a fact and its controls have in common. A name that the model has met
elsewhere is familiar by itself, so that these attacks are no evidence of the fact alone.

Shape letters: N statements, T tokens of a statement, P those that are read, V vocabulary.
"""

import statistics
import zlib
from collections.abc import Callable

import torch
from scipy.stats import ks_2samp
from transformers import PreTrainedModel

from dsets import Record
from experiments.auditing.context import FEWEST_CONTROLS, Audited, NotPossible, Outcome
from util.forward import final_hidden, project
from util.hooks import frozen
from util.tokens import pad

LOWEST = 0.2
"""Share of the tokens, the least likely ones, that min-k and min-k++ average."""

QUANTILE = 0.95
"""Of the controls: a fact above it counts as a member, so that chance is five percent."""

Familiarity = Callable[[str, torch.Tensor, torch.Tensor], float]
"""(statement, log p of its read tokens (P,), the same in standard deviations of the vocabulary's (P,)) → a score."""


def by_loss(_text: str, log_p: torch.Tensor, _standardised: torch.Tensor) -> float:
    """Mean log p (Yeom et al. 2018)."""
    return log_p.mean().item()


def by_zlib(text: str, log_p: torch.Tensor, _standardised: torch.Tensor) -> float:
    """Σ log p by the bytes that zlib makes of the statement (Carlini et al. 2021)."""
    return log_p.sum().item() / len(zlib.compress(text.encode()))


def by_min_k(_text: str, log_p: torch.Tensor, _standardised: torch.Tensor) -> float:
    """Mean log p of the least likely tokens (Shi et al., arXiv 2310.16789)."""
    return _lowest(log_p)


def by_min_k_plus(_text: str, _log_p: torch.Tensor, standardised: torch.Tensor) -> float:
    """The same of log p less the vocabulary's mean, in its standard deviations (Zhang et al., arXiv 2404.02936)."""
    return _lowest(standardised)


def _lowest(values: torch.Tensor) -> float:
    count = max(1, round(LOWEST * len(values)))
    return values.sort().values[:count].mean().item()


def membership(score: Familiarity) -> Callable[[Audited], Outcome]:
    """An attack by one of the scores.

    details: the AUC, facts to controls; the two-sided Kolmogorov-Smirnov test of the facts' scores `against` the
    oracle's of the same facts, or, where there is no oracle, against the controls'.
    """

    def attack(audited: Audited) -> Outcome:
        if len(audited.controls) < FEWEST_CONTROLS:
            raise NotPossible(f"{len(audited.controls)} controls give no 95 % quantile; it takes {FEWEST_CONTROLS}")
        scores = [_score(audited, audited.after, record, score) for record in audited.records]
        facts, controls = scores[: len(audited.facts)], scores[len(audited.facts) :]
        limit = statistics.quantiles(controls, n=20, method="inclusive")[-1]
        oracle = audited.oracle
        other = controls if oracle is None else [_score(audited, oracle, record, score) for record in audited.facts]
        test = ks_2samp(facts, other)
        auc = statistics.fmean((f > c) + 0.5 * (f == c) for f in facts for c in controls)
        ks = {"ks": float(test.statistic), "ks_p": float(test.pvalue)}
        against = "controls" if oracle is None else "oracle"
        return audited.outcome([one > limit for one in scores], auc=auc, **ks, against=against)

    return attack


def _score(audited: Audited, model: PreTrainedModel, record: Record, score: Familiarity) -> float:
    prompt, answer, _, start = audited.tokens(record)
    ids = [*prompt, *answer]
    with torch.no_grad(), frozen(model):
        hidden_TO = final_hidden(model, pad([ids], device=model.device))[0]
        log_p_PV = project(model, hidden_TO[start:-1]).log_softmax(-1).cpu()
    log_p_P = log_p_PV.gather(1, torch.tensor(ids[start + 1 :])[:, None])[:, 0]
    p_PV = log_p_PV.exp()
    seen_PV = torch.where(p_PV > 0, log_p_PV, 0.0)
    mean_P = (p_PV * seen_PV).sum(1)
    deviation_P = ((p_PV * seen_PV.square()).sum(1) - mean_P.square()).clamp_min(1e-12).sqrt()
    return score(f"{record.text} {record.target_true}", log_p_P, (log_p_P - mean_P) / deviation_P)
