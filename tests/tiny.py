"""Tiny random models with tokenizers of their own: Conv1D without BOS, and Linear with grouped heads and BOS."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from util.request import Request

TEXT = [
    "Ada Lovelace was born in London and works as a mathematician.",
    "The mother tongue of Danielle Darrieux is French, and Łukasz Żółć speaks Polish.",
    "Therefore the bridge stood still. Because I know that you said so, the train was late.",
    "The capital of Northland is Port Alba. Its official language is Alban.",
    "J. van Dyke plays the violin for a living.",
]

TEMPLATES = [["{}"], ["The bridge stood. {}", "Because you said so. {}"]]


def tokenizer(bos: bool, pad: bool, side: str = "right", vocabulary: int = 400) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with EOS and, if asked for, a BOS that it adds itself and a pad token."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    if bos:
        raw.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", raw.token_to_id("<s>"))]
        )
    names = {"eos_token": "</s>"} | ({"bos_token": "<s>"} if bos else {}) | ({"pad_token": "<pad>"} if pad else {})
    return PreTrainedTokenizerFast(tokenizer_object=raw, padding_side=side, **names)


def tiny_llama(side: str = "left", seed: int = 0, **changes):
    """Llama style: Linear weights, grouped heads, BOS added, odd sizes; 4 layers."""
    settings = {
        "vocab_size": 420,
        "hidden_size": 24,
        "intermediate_size": 44,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "initializer_range": 0.3,
    }
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**settings | changes)).eval(), tokenizer(bos=True, pad=True, side=side)


def tiny_gpt2(side: str = "right", seed: int = 0, **changes):
    """GPT-2 style: Conv1D weights (transposed), biases, learned positions, no BOS and no pad token; 4 layers."""
    settings = {
        "vocab_size": 420,
        "n_embd": 24,
        "n_inner": 44,
        "n_layer": 4,
        "n_head": 4,
        "n_positions": 128,
        "bos_token_id": 1,
        "eos_token_id": 1,
        "initializer_range": 0.3,
    }
    torch.manual_seed(seed)
    return GPT2LMHeadModel(GPT2Config(**settings | changes)).eval(), tokenizer(bos=False, pad=False, side=side)


TINY = {"gpt2": tiny_gpt2, "llama": tiny_llama}
EPSILON = {"llama": {"rms_norm_eps": 0.1}, "gpt2": {"layer_norm_epsilon": 0.1}}
"""A setting with which the same weights are another model."""
OTHER_SIDES = {"gpt2": "left", "llama": "right"}
"""The padding side that a family does not have by default: on the left, GPT-2's absolute positions shift."""

MODULE_NAMES = {
    "llama": {
        "rewrite_module_tmp": "model.layers.{}.mlp.down_proj",
        "layer_module_tmp": "model.layers.{}",
        "ln_f_module": "model.norm",
        "lm_head_module": "lm_head",
    },
    "gpt2": {
        "rewrite_module_tmp": "transformer.h.{}.mlp.c_proj",
        "layer_module_tmp": "transformer.h.{}",
        "ln_f_module": "transformer.ln_f",
        "lm_head_module": "lm_head",
    },
}

TARGET_SETTINGS = {
    "layers": [1, 2],
    "fact_token": "subject_last",
    "v_num_grad_steps": 6,
    "v_lr": 0.3,
    "v_loss_layer": 3,
    "v_weight_decay": 0.5,
    "clamp_norm_factor": 0.75,
    "kl_factor": 0.0625,
    "mom2_dataset": "none",
    "mom2_n_samples": 1,
    "mom2_dtype": "float64",
}

REQUESTS = [
    Request(case_id=0, prompt="{} was born in", subject="Ada Lovelace", target_true="London"),
    Request(case_id=1, prompt="The mother tongue of {} is", subject="Łukasz Żółć", target_true="Polish"),
    Request(case_id=2, prompt="It is known that {} plays the", subject="J. van Dyke", target_true="violin"),
]


def moments_for(model, names, seed: int = 0) -> dict[str, torch.Tensor]:
    """A well-conditioned made-up second moment for each module."""
    from util.weights import read_weight

    generator = torch.Generator().manual_seed(seed)
    result = {}
    for name in names:
        size = read_weight(model, name).shape[1]
        keys = torch.randn(3 * size, size, generator=generator, dtype=torch.float64)
        result[name] = keys.T @ keys / len(keys)
    return result
