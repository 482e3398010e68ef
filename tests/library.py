"""Tiny random models of every causal language model class of the installed transformers, and what we make of each.

Nothing here knows a family: a configuration is shrunk by the names of its numbers, and a class that cannot be built or
run so is told apart from one that our code breaks on.

    python -m tests.library            # the table of docs/models.md
"""

from collections import Counter
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from baselines import memit
from experiments.measuring.scoring import score
from tests.tiny import REQUESTS, TARGET_SETTINGS, moments_for, tokenizer
from util.editing.keys import ModuleSite, plain
from util.editing.passage import measure
from util.editing.targets import find_targets
from util.errors import UserError
from util.forward import check_logits, logits_of
from util.modeling import layer_count, module_names
from util.tokens import prompt_and_answer

MOST_PARAMETERS = 3_000_000
VOCABULARY = 420
LAYERS = 4
SIZES = (
    (("vocab",), VOCABULARY),
    (("position", "n_ctx", "max_seq", "max_length", "n_positions"), 128),
    (("window",), 8),
    (("num_hidden_layers", "n_layer", "num_layers", "encoder_layers", "decoder_layers"), LAYERS),
    (("key_value_heads", "kv_heads"), 2),
    (("rotary_dim",), 4),
    (("head_dim", "d_head", "d_kv", "rope_dim"), 8),
    (("heads", "n_head"), 4),
    (("group",), 1),
    (("experts_per_tok", "top_k"), 1),
    (("expert", "num_nextn"), 2),
    (("state_size", "d_state", "conv_kernel", "d_conv", "conv_l_cache"), 4),
    (("rank",), 8),
    (("intermediate", "ffn_dim", "n_inner", "ff_dim", "d_ff", "inner"), 64),
    (("hidden_size_per_layer", "hidden_per_layer"), 8),
    (("hidden", "d_model", "n_embd", "embed_dim", "embedding_size", "emb_dim", "lru_width", "d_ssm", "dim"), 32),
)
"""Words in a number's name, and what it becomes; the first that fits holds. Smaller numbers stay."""


@dataclass(frozen=True)
class Made:
    """A model, or why there is none."""

    model: PreTrainedModel | None
    reason: str = ""


def causal_model_types() -> list[str]:
    """Names in the library's causal-LM mapping, one for each class."""
    first: dict[str, str] = {}
    for model_type, architecture in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        first.setdefault(str(architecture), model_type)
    return sorted(first.values())


def tiny(model_type: str) -> Made:
    """A random model of that type; what its own code raises when it is built or run small is the reason for none."""
    reasons = []
    for key_heads in (2, 4):  # some families have as many as heads
        try:
            return Made(_built(model_type, key_heads))
        except Exception as error:  # anything that foreign code raises before ours is reached
            reasons.append(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:100]}")
    return Made(None, reasons[0])


def _built(model_type: str, key_heads: int) -> PreTrainedModel:
    config = CONFIG_MAPPING[model_type]()
    shrink(config)
    for name in [name for name in vars(config) if "key_value_heads" in name or "kv_heads" in name]:
        setattr(config, name, key_heads)
    if not config.is_encoder_decoder and hasattr(config, "is_decoder"):
        config.is_decoder = True
    with torch.device("meta"):
        size = sum(one.numel() for one in AutoModelForCausalLM.from_config(config).parameters())
    if size > MOST_PARAMETERS:
        raise ValueError(f"still {size / 1e6:.0f} million parameters")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        model(input_ids=torch.arange(100, 108)[None])
    return model


def shrink(config: PreTrainedConfig) -> None:
    """Make the configuration's numbers small in place, those of its parts as well."""
    for name, value in list(vars(config).items()):
        if isinstance(value, PreTrainedConfig):
            shrink(value)
        elif isinstance(value, int) and not isinstance(value, bool) and not name.startswith("_"):
            small = next((size for words, size in SIZES if any(word in name for word in words)), None)
            if small is not None and value > small and not name.endswith("_id"):
                setattr(config, name, small)
        elif value is None and name == "head_dim":
            config.head_dim = 8
        elif isinstance(value, list | tuple) and len(value) > LAYERS and name.endswith(("types", "layers", "pattern")):
            setattr(config, name, _few(value))
    if hasattr(config, "initializer_range"):
        config.initializer_range = 0.3  # so that no norm's ε is large beside what it norms
    for number, name in enumerate(("bos_token_id", "eos_token_id", "pad_token_id")):
        if hasattr(config, name):
            setattr(config, name, number)


def _few(values: list | tuple) -> list | tuple:
    """As many values as layers, every kind of them among them."""
    kinds = list(dict.fromkeys(values))[:LAYERS]
    return type(values)([*values[: LAYERS - len(kinds)], *kinds])


def outcome(model_type: str) -> tuple[str, str]:
    """("right" | "refused" | "not made", why): scores and an edit of a tiny model of that type.

    Right: probabilities are those of the model's own forward, before the edit and after it, and what the edit wanted at
    its layer is there (nearer than before, where a norm stands in between). Anything else raises.
    """
    made = tiny(model_type)
    if made.model is None:
        return "not made", made.reason
    try:
        check_logits(made.model)
        _check_scores(made.model)
        _check_edit(made.model)
    except UserError as error:
        return "refused", str(error)
    return "right", ""


def _check_scores(model: PreTrainedModel) -> None:
    tok = tokenizer(bos=True, pad=False)
    questions = [(request.text, request.target_true) for request in REQUESTS]
    found = score(model, tok, questions, batch_tokens=1000)
    for question in questions:
        prompt, answer = prompt_and_answer(tok, *question)
        with torch.no_grad():
            own = logits_of(model(input_ids=torch.tensor([prompt + answer])))[0].float().log_softmax(-1)
        right = torch.stack([own[len(prompt) - 1 + i, token] for i, token in enumerate(answer)])
        torch.testing.assert_close(torch.tensor(found[question].log_probs), right, atol=1e-3, rtol=1e-3)


def _check_edit(model: PreTrainedModel) -> None:
    tok, layer, context = tokenizer(bos=True, pad=False), max(0, layer_count(model) - 3), [["{}"]]
    values = {"layers": [layer], "v_loss_layer": layer_count(model) - 1, "v_num_grad_steps": 3}
    hparams = memit.HParams(**TARGET_SETTINGS | module_names(model) | values | {"mom2_update_weight": 1e-6})
    moments, at = moments_for(model, hparams.rewrite_modules()), ModuleSite(hparams.layer_module_tmp.format(layer))
    before = plain(model, tok, REQUESTS, at, 1000)
    edits = memit.apply_to_model(model, tok, REQUESTS, hparams, moments=moments, context_templates=context)
    after = plain(model, tok, REQUESTS, at, 1000)
    _check_scores(model)
    passage = measure(model, layer, hparams.rewrite_module(layer))
    edits.undo(model)
    neutral = [request.target_new for request in REQUESTS]
    z = find_targets(model, tok, REQUESTS, neutral, layer, "layer", hparams, context, batch_tokens=1000).values_ON
    left = ((z - after).norm() / (z - before).norm()).item()
    assert left < (0.02 if passage is None or passage.norm is None else 1), left


if __name__ == "__main__":
    outcomes = {model_type: outcome(model_type) for model_type in causal_model_types()}
    for model_type, (kind, why) in outcomes.items():
        print(f"{model_type}: {kind}. {why}")
    print(Counter(kind for kind, _ in outcomes.values()))
