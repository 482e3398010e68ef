"""A whole run in the plain form on a tiny seeded model: fact by fact, text by text, full passes, float64 solves.

It shares with the machinery the tokens of a text and the formulas' constants, nothing of how they are computed.
Shape letters: O out, I in, N facts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from baselines import alphaedit, memit, rome
from experiments.benchmarking.plain import find_target
from tests.tiny import MODULE_NAMES, REQUESTS, TARGET_SETTINGS, TEMPLATES, moments_for, tiny_llama
from util.editing.contexts import fill
from util.hooks import capture
from util.hparams import MomentHParams
from util.request import Request
from util.tokens import locate_subject
from zerounlearn import HParams, apply_to_model
from zerounlearn.solve import solve_direct

Recorded = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Method:
    """What is edited with, in the machinery and in the plain form.

    new_weight: (hparams, W_OI, K_IN, R_ON, U_ON, C_II), all float64, → the layer's new weight; None for ROME, which is
    no method of residuals.
    """

    hparams: MomentHParams
    apply_to_model: Callable
    new_weight: Callable[..., torch.Tensor] | None


def model_and_tokenizer():
    """The model of the record: a Llama of two dozen thousand random weights, and a tokenizer with a BOS."""
    return tiny_llama(hidden_size=16, intermediate_size=20)


def names() -> list[str]:
    """The edited modules."""
    return [MODULE_NAMES["llama"]["rewrite_module_tmp"].format(layer) for layer in TARGET_SETTINGS["layers"]]


def moments(model) -> dict[str, torch.Tensor]:
    """C (I, I) of the edited modules, made up and well conditioned."""
    return moments_for(model, names())


def methods() -> dict[str, Method]:
    """The recorded methods, by name."""
    shared = TARGET_SETTINGS | MODULE_NAMES["llama"]
    own = {"wiki_KKT_lam": 10, "forget_KKT_lam": 50, "regularization_lam": 1, "epsilon": 0.01}
    return {
        "ZeroUnlearn": Method(
            HParams(**shared | own, projector="published", solver="woodbury"), apply_to_model, _zerounlearn
        ),
        "MEMIT": Method(memit.HParams(**shared, mom2_update_weight=5), memit.apply_to_model, _memit),
        "AlphaEdit": Method(
            alphaedit.HParams(**shared, nullspace_threshold=0.8, nullspace_relative=False, L2=0.1),
            alphaedit.apply_to_model,
            _alphaedit,
        ),
        "ROME": Method(rome.HParams(**shared | {"layers": [1]}, mom2_adjustment=True), rome.apply_to_model, None),
    }


def run(name: str) -> Recorded:
    """What the method sees and does: z, every layer's K, H and U, the weights' changes; float32."""
    model, tokenizer = model_and_tokenizer()
    method, C = methods()[name], moments(model)
    edit = _fact_after_fact if method.new_weight is None else _layer_after_layer
    return {f"{name}:{key}": value.float() for key, value in edit(model, tokenizer, method, C).items()}


def fingerprint() -> Recorded:
    """Sums of the model's weights and moments, and the requests' tokens: whether this is the recorded model."""
    model, tokenizer = model_and_tokenizer()
    texts = [locate_subject(tokenizer, fill(text, r), r.subject)[0] for r in REQUESTS for text in ("{}", "A. {}")]
    sums = [value.double().sum() for value in (*model.parameters(), *moments(model).values())]
    return {"sums": torch.stack(sums).detach(), "ids": torch.tensor([token for ids in texts for token in ids])}


def _layer_after_layer(model, tokenizer, method: Method, C: Recorded) -> Recorded:
    hparams, layers = method.hparams, method.hparams.layers
    target = hparams.layer_module_tmp.format(layers[-1])

    def searched(answers: Sequence[str], layer: int, site: str) -> torch.Tensor:
        given = (layer, site, hparams, TEMPLATES)
        found = [
            find_target(model, tokenizer, r, answer, *given)[0] for r, answer in zip(REQUESTS, answers, strict=True)
        ]
        return torch.stack(found, 1)

    Z_ON = searched([request.target_new for request in REQUESTS], layers[-1], "layer")
    seen = {"z": Z_ON}
    for done, layer in enumerate(layers):
        name = hparams.rewrite_module(layer)
        K_IN = torch.stack([_key(model, tokenizer, r, name) for r in REQUESTS], 1)
        H_ON = torch.stack([_at_subject(model, tokenizer, r, "{}", target) for r in REQUESTS], 1)
        U_ON = searched([request.target_true for request in REQUESTS], layer, "module")
        R_ON = (Z_ON - H_ON) / (len(layers) - done)
        weight = model.get_parameter(f"{name}.weight")
        before = weight.detach().double()
        after = method.new_weight(hparams, before, K_IN.double(), R_ON.double(), U_ON.double(), C[name].double())
        weight.data.copy_(after)
        seen |= {f"K:{layer}": K_IN, f"H:{layer}": H_ON, f"U:{layer}": U_ON, f"change:{name}.weight": after - before}
    return seen


def _fact_after_fact(model, tokenizer, method: Method, C: Recorded) -> Recorded:
    """ROME: u = C⁻¹ k̄ / ‖C⁻¹ k̄‖, W ← W + δ uᵀ / (kᵀ u); all six texts weigh the same in k̄."""
    hparams, layer = method.hparams, method.hparams.layers[0]
    name = hparams.rewrite_module(layer)
    weight, flat = model.get_parameter(f"{name}.weight"), [text for group in TEMPLATES for text in group]
    first, W_OI = weight.detach().double(), weight.detach().double()
    for request in REQUESTS:
        value = find_target(
            model, tokenizer, request, request.target_new, layer, "module", hparams, [flat], final_logits=True
        )[0]
        texts = [_at_subject(model, tokenizer, request, text, name, inputs=True) for text in flat]
        mean, key = torch.stack(texts).mean(0).double(), texts[0].double()
        u = torch.linalg.solve(C[name].double(), mean)
        u = u / u.norm()
        residual = value.double() - _at_subject(model, tokenizer, request, "{}", name).double()
        W_OI = W_OI + torch.outer(residual / (key @ u), u)
        weight.data.copy_(W_OI)
    return {f"change:{name}.weight": W_OI - first}


def _key(model, tokenizer, request: Request, name: str) -> torch.Tensor:
    groups = [
        [_at_subject(model, tokenizer, request, text, name, inputs=True) for text in group] for group in TEMPLATES
    ]
    return torch.stack([torch.stack(group).mean(0) for group in groups]).mean(0)


@torch.no_grad()
def _at_subject(model, tokenizer, request: Request, text: str, name: str, inputs: bool = False) -> torch.Tensor:
    ids, fact = locate_subject(tokenizer, fill(text, request), request.subject)
    with capture({"at": model.get_submodule(name)}, inputs=inputs) as seen:
        model(input_ids=torch.tensor([ids]))
    return seen["at"][0, fact].clone()


def _zerounlearn(hparams, W_OI, K_IN, R_ON, U_ON, C_II) -> torch.Tensor:
    a, b, ridge = hparams.wiki_KKT_lam, hparams.forget_KKT_lam, hparams.regularization_lam
    return solve_direct(W_OI, K_IN, R_ON, U_ON, C_II, a=a, b=b, ridge=ridge, epsilon=hparams.epsilon)


def _memit(hparams, W_OI, K_IN, R_ON, _U_ON, C_II) -> torch.Tensor:
    return W_OI + R_ON @ K_IN.T @ torch.linalg.inv(hparams.mom2_update_weight * C_II + K_IN @ K_IN.T)


def _alphaedit(hparams, W_OI, K_IN, R_ON, _U_ON, C_II) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(C_II)
    kept = vectors[:, values <= hparams.nullspace_threshold]
    N_II = kept @ kept.T
    system = N_II @ K_IN @ K_IN.T + hparams.L2 * torch.eye(len(N_II), dtype=N_II.dtype)
    return W_OI + torch.linalg.solve(system, N_II @ K_IN @ R_ON.T).T
