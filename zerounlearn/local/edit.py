"""ZeroUnlearn-Local on a model: targets → layer problems, protected keys → closed form → weights."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch

from util.editing.contexts import PLAIN
from util.editing.layers import LayerProblem, edit_layers
from util.editing.setting import Setting
from util.errors import UserError
from util.invented import about_nobody
from util.modeling import module
from util.request import Frame, Request
from util.weights import WeightEdits
from zerounlearn.local.hparams import HParams
from zerounlearn.local.solve import solve, without_own_direction

log = logging.getLogger("zerounlearn")


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Each request's prompt leads to its `target_new` (the neutral state), and protected keys keep their values.

    Protected are, by hparams, subjects that do not exist and subjects that do, in the requests' own prompt forms, and
    the retain requests. Their keys are read at every layer, on the model as edited so far, and without the texts that
    stand before a forgotten fact's: a tenth of the cost, and what is asked about a neighbour is asked as it is.
    diagnostics ``protected``: how many, by kind. Raises UserError where the targets are to be centred and nothing is
    protected to take the centre of.
    """
    kinds = protected_requests(setting, hparams)
    protected = [one for some in kinds.values() for one in some]
    if hparams.own_direction == "centred" and not protected:
        raise UserError(
            'own_direction is "centred", and nothing is protected to take the mean of; set invented_per_template '
            'above 0, name retain requests, or set own_direction to "own"'
        )
    watching = replace(setting, requests=protected, context_templates=PLAIN)

    def new_weight(problem: LayerProblem) -> torch.Tensor:
        factor = setting.moment_factor(problem.name, problem.C_II, hparams.mom2_ridge)
        K = problem.K_IN
        P_IM = watching.keys(problem.name).to(K.device) if protected else K[:, :0]
        R_ON = _residual(problem, _bias(setting, problem), P_IM, hparams)
        return problem.W_OI + solve(K, R_ON, P_IM, factor, a=hparams.mom2_update_weight, kappa=hparams.protect_weight)

    edits = edit_layers(setting, hparams, new_weight, sensitive=hparams.own_direction != "none")
    edits.diagnostics["protected"] = {kind: len(some) for kind, some in kinds.items()}
    return edits


def protected_requests(setting: Setting, hparams: HParams) -> dict[str, list[Request]]:
    """Whose keys are to keep their values, by kind: invented subjects and existing ones in every prompt form (a prompt
    with what stands around it), and the retain requests.

    An invented subject stands in each form under a name of its own, so that no name's own key is protected many times.
    What is to be forgotten is not protected, and a warning counts it; so does one the retain requests about a forgotten
    subject, whose keys are much the forgotten ones', and the existing subjects that the caller has not named. At κ = 0
    nothing is protected, and subjects are named for a centre only.
    """
    if hparams.protect_weight == 0 and hparams.own_direction != "centred":
        return {"invented": [], "existing": [], "retain": []}
    forms = list({_form(request): request for request in setting.requests}.values())
    count = hparams.neighbors_per_template
    named = {(_form(one), one.subject.casefold()): one for one in setting.neighbors}
    offered = _spared(setting, list(named.values())) if count else []
    existing = [one for form in forms for one in _of_form(offered, form)[:count]]
    if len(existing) < count * len(forms):
        log.warning(
            "neighbors_per_template asks for %d existing subjects in each of %d prompt forms, and %d in all are named: "
            "fewer neighbours are protected than these hparams were chosen with",
            *(count, len(forms), len(existing)),
        )
    return {
        "invented": _with_room(
            setting, about_nobody(setting.requests, len(forms) * hparams.invented_per_template, setting.seed)
        ),
        "existing": _with_room(setting, existing),
        "retain": _with_room(setting, _spared(setting, setting.retain_requests if hparams.protect_retain else ())),
    }


def _with_room(setting: Setting, given: Sequence[Request]) -> list[Request]:
    fit = setting.with_room(given)
    if len(fit) < len(given):
        log.warning(
            "%d of %d subjects are not protected: with them a prompt has more tokens than the model has positions",
            *(len(given) - len(fit), len(given)),
        )
    return fit


def _of_form(given: Sequence[Request], form: Request) -> list[Request]:
    return [one for one in given if _form(one) == _form(form)]


def _form(request: Request) -> tuple[str, Frame]:
    return request.prompt, request.frame


def _spared(setting: Setting, given: Sequence[Request]) -> list[Request]:
    """Those that are not to be forgotten."""
    forgotten = {(_form(one), one.subject.casefold()) for one in setting.requests}
    spared = [one for one in given if (_form(one), one.subject.casefold()) not in forgotten]
    if len(spared) < len(given):
        log.warning("%d of the facts to protect are to be forgotten: they are not protected", len(given) - len(spared))
    subjects = {one.subject.casefold() for one in setting.requests}
    near = sum(one.subject.casefold() in subjects for one in spared)
    if near:
        log.warning(
            "%d of the facts to protect are about subjects that are to forget another: keys of one subject are much "
            "alike, and what is forgotten of it will be forgotten less",
            near,
        )
    return spared


def _bias(setting: Setting, problem: LayerProblem) -> torch.Tensor:
    """What the module adds to W k, (O, 1) float64; 0 of a module without bias."""
    bias_O: torch.Tensor | None = getattr(module(setting.model, problem.name), "bias", None)
    return (
        problem.W_OI.new_zeros(1, 1).double() if bias_O is None else bias_O.detach().to(problem.W_OI).double()[:, None]
    )


def _residual(problem: LayerProblem, bias_O1: torch.Tensor, P_IM: torch.Tensor, hparams: HParams) -> torch.Tensor:
    """R (O, N): what the layer is to add at the facts' keys, so that its new output lacks their own direction."""
    if problem.U_ON is None:
        return problem.R_ON
    W = problem.W_OI.double()
    V_ON = W @ problem.K_IN.double() + bias_O1
    centred = hparams.own_direction == "centred" and P_IM.shape[1]
    common_O = (W @ P_IM.double() + bias_O1).mean(1) if centred else None
    return without_own_direction(V_ON + problem.R_ON.double(), problem.U_ON, common_O) - V_ON
