"""ZeroUnlearn-Local on a model: targets → layer problems, protected keys → closed form → weights."""

from dataclasses import replace

import torch

from util.editing.contexts import PLAIN
from util.editing.layers import LayerProblem, edit_layers
from util.editing.setting import Setting
from util.invented import invented_names
from util.request import Request
from util.weights import WeightEdits
from zerounlearn.local.hparams import HParams
from zerounlearn.local.solve import solve, without_own_direction


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Each request's prompt leads to its `target_new` (the neutral state), and protected keys keep their values.

    Protected are, by hparams, subjects that do not exist and subjects that do, in the requests' own prompt forms, and
    the retain requests. Their keys are read at every layer, on the model as edited so far, and without the texts that
    stand before a forgotten fact's: a tenth of the cost, and what is asked about a neighbour is asked as it is.
    diagnostics ``protected``: how many.
    """
    protected = protected_requests(setting, hparams)
    watching = replace(setting, requests=protected, context_templates=PLAIN)

    def new_weight(problem: LayerProblem) -> torch.Tensor:
        factor = setting.moment_factor(problem.name, problem.C_II, hparams.mom2_ridge)
        K = problem.K_IN
        P_IM = watching.keys(problem.name).to(K.device) if protected else K[:, :0]
        R_ON = _residual(problem, P_IM, hparams)
        return problem.W_OI + solve(K, R_ON, P_IM, factor, a=hparams.mom2_update_weight, kappa=hparams.protect_weight)

    edits = edit_layers(setting, hparams, new_weight, sensitive=hparams.own_direction != "none")
    edits.diagnostics["protected"] = len(protected)
    return edits


def protected_requests(setting: Setting, hparams: HParams) -> list[Request]:
    """Whose keys are to keep their values: invented subjects and neighbours in every prompt form, then the retain
    requests.

    An invented subject stands in each form under a name of its own, so that no name's own key is protected many times.
    """
    forms = list(dict.fromkeys(request.prompt for request in setting.requests))
    names = iter(invented_names(len(forms) * hparams.invented_per_template, setting.seed))
    invented = [
        Request(prompt=form, subject=next(names), target_true="unknown")
        for form in forms
        for _ in range(hparams.invented_per_template)
    ]
    existing = [one for form in forms for one in _of_form(setting, form, hparams.neighbors_per_template)]
    return invented + existing + (list(setting.retain_requests) if hparams.protect_retain else [])


def _of_form(setting: Setting, form: str, count: int) -> list[Request]:
    """The first so many neighbours that the caller has named for a prompt form."""
    return [one for one in setting.neighbors if one.prompt == form][:count]


def _residual(problem: LayerProblem, P_IM: torch.Tensor, hparams: HParams) -> torch.Tensor:
    """R (O, N): what the layer is to add at the facts' keys, so that its new values lack their own direction."""
    if problem.U_ON is None:
        return problem.R_ON
    W = problem.W_OI.double()
    V_ON = W @ problem.K_IN.double()
    common_O = (W @ P_IM.double()).mean(1) if hparams.own_direction == "centred" and P_IM.shape[1] else None
    return without_own_direction(V_ON + problem.R_ON.double(), problem.U_ON, common_O) - V_ON
