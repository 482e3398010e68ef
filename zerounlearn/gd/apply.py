"""ZeroUnlearn-GD on a model: targets → layer problems → descent in the null space → weights."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.contexts import Templates
from util.editing.layers import LayerProblem, Moments, edit_layers, kept, prepare
from util.linalg import null_space_projector, orthonormal_basis
from util.request import Request
from util.weights import WeightEdits
from zerounlearn.gd.hparams import HParams
from zerounlearn.gd.solve import Problem, solve_adam, solve_exact


def apply_to_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    hparams: HParams,
    *,
    moments: Moments | None = None,
    context_templates: Templates | None = None,
    retain_requests: Sequence[Request] = (),
    previous: WeightEdits | None = None,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: bool = False,
) -> WeightEdits:
    """Edit `model` in place so that each request's prompt leads to its `target_new` (the neutral state).

    moments: module name → E[k kᵀ] of the unedited model. context_templates: groups of templates; None generates them
    from `seed`. retain_requests and previous are accepted for the common signature and not needed here.
    Returns the edits, whose `undo` is bit-exact; diagnostics ``objective`` gives, per layer, the objective before the
    edit, where the solver ended and at the exact minimum. Raises UserError on bad input and when no eigenvalue of a
    moment is at or below the threshold, with no weight changed.
    """
    setting = prepare(
        model,
        tokenizer,
        requests,
        hparams,
        context_templates=context_templates,
        seed=seed,
        batch_tokens=batch_tokens,
        progress=progress,
    )
    reached: dict[str, dict[str, float]] = {}
    edits = edit_layers(
        setting, moments, lambda problem: _new_weight(problem, hparams, moments, reached), sensitive=True
    )
    edits.diagnostics["objective"] = reached
    return edits


def _new_weight(
    layer: LayerProblem, hparams: HParams, moments: Moments, reached: dict[str, dict[str, float]]
) -> torch.Tensor:
    threshold, relative = hparams.nullspace_threshold, hparams.nullspace_relative
    key = ("null space", layer.name, threshold, relative)
    projector_II = kept(moments, key, lambda: null_space_projector(layer.C_II, threshold, relative))
    W, K = layer.W_OI.double(), layer.K_IN.double()
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
