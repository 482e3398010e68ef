"""ZeroUnlearn on a model: targets → layer problems → closed form → weights."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch

from util.editing.keys import ModuleSite
from util.editing.layers import LayerProblem, edit_layers
from util.editing.setting import Setting
from util.errors import UserError
from util.invented import about_nobody
from util.linalg import energy_inside, mean_cosine
from util.request import Request
from util.weights import WeightEdits, checksums
from zerounlearn.hparams import HParams
from zerounlearn.solve import factor_utility, sensitive_basis, solve, solve_direct

log = logging.getLogger("zerounlearn")

WATCHED = 64
"""Subjects whose values stand for those of all others."""

TOO_MUCH = 0.35
"""Share of other subjects' values, summed over the layers, from whose removal on neighbours go."""
TOO_MUCH_IN_COMMON, IN_COMMON = 0.1, 0.08
"""The same, of one layer, where the mean cosine of other subjects' values is above IN_COMMON: what goes there is a part
that all values have. What these were set by is in docs/why_published_fails.md."""


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Each request's prompt leads to its `target_new` (the neutral state), by W ← D W.

    A module with a bias (GPT-2) keeps it: D multiplies the weight only. With a projector, diagnostics
    ``removed_from_others`` gives for each module the share of the energy of other subjects' values that it removes and
    ``cosine_of_others`` their mean cosine, read from the retain requests and, as far as these are fewer than WATCHED,
    subjects that do not exist, as many of either as have room among the model's positions (with fewer than two nothing
    is told); a warning comes where that is `too_much`.
    """
    if hparams.projector == "none":
        return edit_layers(setting, hparams, lambda problem: _new_weight(setting, problem, hparams, None))
    nobody = setting.with_room(about_nobody(setting.requests, WATCHED, setting.seed))
    others = [*setting.with_room(setting.retain_requests), *nobody][:WATCHED]
    if not nobody and hparams.projector == "centred":
        raise UserError(
            "projector 'centred' takes the mean of invented subjects, whose names do not fit the model's positions in "
            "these prompts; shorten the prompts, or set projector to 'identity_preserving'"
        )
    removed: dict[str, float] = {}
    cosine: dict[str, float] = {}

    def new_weight(problem: LayerProblem) -> torch.Tensor:
        common_O = _values(setting, nobody, problem).mean(1) if hparams.projector == "centred" else None
        basis_Or = sensitive_basis(_sensitive(problem), hparams.projector, common_O)
        if len(others) > 1:
            V_OM = _values(setting, others, problem)
            removed[problem.name] = energy_inside(V_OM, basis_Or).mean().item()
            cosine[problem.name] = mean_cosine(V_OM)
        return _new_weight(setting, problem, hparams, common_O)

    edits = edit_layers(setting, hparams, new_weight, sensitive=True)
    edits.diagnostics |= {"removed_from_others": removed, "cosine_of_others": cosine}
    if too_much(list(removed.values()), list(cosine.values())):
        log.warning("%s", _warning(removed, hparams.projector, len(setting.requests)))
    return edits


def too_much(removed: Sequence[float], cosine: Sequence[float]) -> bool:
    """Whether other facts will go, by the share of their values that each layer loses and how alike these are."""
    common = [share for share, alike in zip(removed, cosine, strict=True) if alike > IN_COMMON]
    return sum(removed) > TOO_MUCH or max(common, default=0.0) > TOO_MUCH_IN_COMMON


def _warning(removed: dict[str, float], projector: str, count: int) -> str:
    shares = ", ".join(f"{100 * share:.0f} % at {name}" for name, share in removed.items())
    return (
        f"projector {projector!r} with {count} fact(s) removes much of what other subjects' values are made of "
        f"({shares}), so that other facts go, too; forget fewer facts at once, edit fewer layers, or set projector to "
        "'none' (docs/why_published_fails.md)"
    )


def _values(setting: Setting, requests: Sequence[Request], problem: LayerProblem) -> torch.Tensor:
    """W k (O, N) float64 in the plain prompts, on the model as edited so far."""
    asked = replace(setting, requests=requests, progress=False)
    K_IN = asked.at_subject(ModuleSite(problem.name, inputs=True)).to(problem.W_OI.device)
    return problem.W_OI.double() @ K_IN.double()


def _sensitive(problem: LayerProblem) -> torch.Tensor:
    return problem.W_OI[:, :0] if problem.U_ON is None else problem.U_ON


def _new_weight(
    setting: Setting, problem: LayerProblem, hparams: HParams, common_O: torch.Tensor | None
) -> torch.Tensor:
    W, K, R, U, C = problem.W_OI, problem.K_IN, problem.R_ON, _sensitive(problem), problem.C_II
    a, ridge = hparams.wiki_KKT_lam, hparams.regularization_lam
    b, epsilon, projector = hparams.forget_KKT_lam, hparams.epsilon, hparams.projector
    if hparams.solver == "direct":
        direct = {"a": a, "b": b, "ridge": ridge, "epsilon": epsilon}
        return solve_direct(W, K, R, U, C, **direct, projector=projector, common_O=common_O)
    factor = setting.kept((problem.name, checksums(W), a, ridge), lambda: factor_utility(W, C, a, ridge))
    return solve(W, K, R, U, factor, b=b, epsilon=epsilon, projector=projector, common_O=common_O)
