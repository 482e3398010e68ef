"""AlphaEdit on a model: targets → layer problems → closed form → weights."""

import torch

from baselines.alphaedit.hparams import HParams
from baselines.alphaedit.solve import solve
from util.editing.layers import LayerProblem, edit_layers
from util.editing.setting import Setting
from util.linalg import null_space_projector
from util.weights import WeightEdits


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Each request's prompt leads to its `target_new`, by a change in the near-null space of the moments.

    previous: the edits of the step before; the keys written by it and by the steps before it are protected
    (`edits.keys` carries them on). Raises UserError when no eigenvalue of a moment is at or below the threshold. (The
    released code takes eigenvalues strictly below it.)
    """
    earlier = setting.previous.keys if setting.previous is not None else {}
    edits = edit_layers(setting, hparams, lambda problem: _new_weight(setting, problem, hparams, earlier))
    for name, keys_IP in earlier.items():
        edits.keys[name] = torch.cat([keys_IP, edits.keys[name]], dim=1) if name in edits.keys else keys_IP
    return edits


def _new_weight(
    setting: Setting, problem: LayerProblem, hparams: HParams, earlier: dict[str, torch.Tensor]
) -> torch.Tensor:
    K, C = problem.K_IN, problem.C_II
    threshold, relative = hparams.nullspace_threshold, hparams.nullspace_relative
    key = ("null space", problem.name, threshold, relative)
    projector_II = setting.kept(key, lambda: null_space_projector(C, threshold, relative))
    earlier_IP = earlier[problem.name].to(K.device) if problem.name in earlier else K[:, :0]
    return problem.W_OI + solve(K, problem.R_ON, projector_II, earlier_IP, ridge=hparams.L2)
