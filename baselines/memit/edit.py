"""MEMIT on a model: targets → layer problems → closed form → weights."""

import torch

from baselines.memit.hparams import HParams
from baselines.memit.solve import solve
from util.editing.layers import LayerProblem, edit_layers
from util.editing.setting import Setting
from util.weights import WeightEdits


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Each request's prompt leads to its `target_new`. With mom2_ridge the moments must be positive definite."""

    def new_weight(problem: LayerProblem) -> torch.Tensor:
        factor = setting.moment_factor(problem.name, problem.C_II, hparams.mom2_ridge)
        return problem.W_OI + solve(problem.K_IN, problem.R_ON, factor, a=hparams.mom2_update_weight)

    return edit_layers(setting, hparams, new_weight)
