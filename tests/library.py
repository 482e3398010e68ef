"""Tiny random models of every causal language model class that the installed transformers has.

Nothing here knows a family: a configuration is shrunk by the names of its numbers, and a class that cannot be built or
run so is told apart from one that our code breaks on.
"""

from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

MOST_PARAMETERS = 3_000_000
VOCABULARY = 420
LAYERS = 4
SIZES = (
    (("vocab",), VOCABULARY),
    (("position", "n_ctx", "max_seq", "max_length", "n_positions"), 128),
    (("window",), 8),
    (("num_hidden_layers", "n_layer", "num_layers", "encoder_layers", "decoder_layers"), LAYERS),
    (("key_value_heads", "kv_heads"), 2),
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
    try:
        config = CONFIG_MAPPING[model_type]()
        shrink(config)
        with torch.device("meta"):
            size = sum(one.numel() for one in AutoModelForCausalLM.from_config(config).parameters())
        if size > MOST_PARAMETERS:
            return Made(None, f"still {size / 1e6:.0f} million parameters")
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            model(input_ids=torch.arange(100, 108)[None])
    except Exception as error:
        return Made(None, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}")
    return Made(model)


def shrink(config: PreTrainedConfig) -> None:
    """Make the configuration's numbers small in place, those of its parts as well."""
    for name, value in list(vars(config).items()):
        if isinstance(value, PreTrainedConfig):
            shrink(value)
        elif isinstance(value, int) and not isinstance(value, bool) and not name.startswith("_"):
            small = next((size for words, size in SIZES if any(word in name for word in words)), None)
            if small is not None and value > small and not name.endswith("_id"):
                _set(config, name, small)
        elif isinstance(value, list | tuple) and len(value) > LAYERS and name.endswith(("types", "layers", "pattern")):
            _set(config, name, _few(value))
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if hasattr(config, name):
            _set(config, name, {"bos": 0, "eos": 1, "pad": 2}[name[:3]])


def _few(values: list | tuple) -> list | tuple:
    """As many values as layers, every kind of them among them."""
    kinds = list(dict.fromkeys(values))[:LAYERS]
    return type(values)([*values[: LAYERS - len(kinds)], *kinds])


def _set(config: PreTrainedConfig, name: str, value: object) -> None:
    setattr(config, name, value)
