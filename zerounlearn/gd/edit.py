"""ZeroUnlearn-GD on a model: targets → layer problems → descent in the null space → weights."""

import torch

from util.editing.layers import LayerProblem, edit_layers
from util.editing.setting import Setting
from util.linalg import null_space_projector, orthonormal_basis
from util.weights import WeightEdits
from zerounlearn.gd.hparams import HParams
from zerounlearn.gd.solve import Problem, solve_adam, solve_exact

Reached = dict[str, dict[str, float]]


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Each request's prompt leads to its `target_new` (the neutral state), by a change in the near-null space.

    diagnostics ``objective`` gives, per layer, the objective before the edit, where the solver ended and at the exact
    minimum. Raises UserError when no eigenvalue of a moment is at or below the threshold.
    """
    reached: Reached = {}
    edits = edit_layers(
        setting, hparams, lambda problem: _new_weight(setting, problem, hparams, reached), sensitive=True
    )
    edits.diagnostics["objective"] = reached
    return edits


def _new_weight(setting: Setting, layer: LayerProblem, hparams: HParams, reached: Reached) -> torch.Tensor:
    threshold, relative = hparams.nullspace_threshold, hparams.nullspace_relative
    key = ("null space", layer.name, threshold, relative)
    projector_II = setting.kept(key, lambda: null_space_projector(layer.C_II, threshold, relative))
    W, K = layer.W_OI.double(), layer.K_IN.double()
    assert layer.U_ON is not None, "`edit` asks for the sensitive values"
    problem = Problem(
        V_ON=W @ K,
        NK_IN=projector_II @ K,
        R_ON=layer.R_ON.double(),
        Q_Or=orthonormal_basis(layer.U_ON),
        sensitive=hparams.sensitive_weight,
        target=hparams.target_weight,
        ridge=hparams.regularization_lam,
    )
    exact_OI = solve_exact(problem)
    X_OI = exact_OI
    if hparams.solver == "adam":
        X_OI = solve_adam(problem, projector_II, lr=hparams.gd_lr, steps=hparams.gd_steps)
    values = {"before": torch.zeros_like(X_OI), hparams.solver: X_OI, "exact": exact_OI}
    reached[layer.name] = {where: problem.objective(at) for where, at in values.items()}
    return W + X_OI
