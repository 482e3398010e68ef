"""ZeroUnlearn on a model: targets → layer problems → closed form → weights."""

import torch

from util.editing.layers import LayerProblem, edit_layers
from util.editing.setting import Setting
from util.weights import WeightEdits, checksums
from zerounlearn.hparams import HParams
from zerounlearn.solve import factor_utility, solve, solve_direct


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Each request's prompt leads to its `target_new` (the neutral state), by W ← D W.

    A module with a bias (GPT-2) keeps it: D multiplies the weight only.
    """
    sensitive = hparams.projector != "none"
    return edit_layers(setting, hparams, lambda problem: _new_weight(setting, problem, hparams), sensitive=sensitive)


def _new_weight(setting: Setting, problem: LayerProblem, hparams: HParams) -> torch.Tensor:
    W, K, R, C = problem.W_OI, problem.K_IN, problem.R_ON, problem.C_II
    U = problem.U_ON if problem.U_ON is not None else W[:, :0]
    a, ridge = hparams.wiki_KKT_lam, hparams.regularization_lam
    b, epsilon, projector = hparams.forget_KKT_lam, hparams.epsilon, hparams.projector
    if hparams.solver == "direct":
        return solve_direct(W, K, R, U, C, a=a, b=b, ridge=ridge, epsilon=epsilon, projector=projector)
    factor = setting.kept((problem.name, checksums(W), a, ridge), lambda: factor_utility(W, C, a, ridge))
    return solve(W, K, R, U, factor, b=b, epsilon=epsilon, projector=projector)
