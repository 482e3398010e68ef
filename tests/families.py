"""Tiny random models of the families the hparams can name, with the names of their parts."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

LLAMA_LIKE = {
    "rewrite_module_tmp": "model.layers.{}.mlp.down_proj",
    "layer_module_tmp": "model.layers.{}",
    "ln_f_module": "model.norm",
    "lm_head_module": "lm_head",
}
GPT2_LIKE = {
    "rewrite_module_tmp": "transformer.h.{}.mlp.c_proj",
    "layer_module_tmp": "transformer.h.{}",
    "ln_f_module": "transformer.ln_f",
    "lm_head_module": "lm_head",
}
NEOX = {
    "rewrite_module_tmp": "gpt_neox.layers.{}.mlp.dense_4h_to_h",
    "layer_module_tmp": "gpt_neox.layers.{}",
    "ln_f_module": "gpt_neox.final_layer_norm",
    "lm_head_module": "lm_head",
}
OPT = {
    "rewrite_module_tmp": "model.decoder.layers.{}.fc2",
    "layer_module_tmp": "model.decoder.layers.{}",
    "ln_f_module": "model.decoder.final_layer_norm",
    "lm_head_module": "lm_head",
}

COMMON = {
    "vocab_size": 420,
    "hidden_size": 24,
    "intermediate_size": 44,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
SLIDING = {"sliding_window": 5}  # less than any text of the tests
LATENT = {
    "q_lora_rank": 12,
    "kv_lora_rank": 10,
    "qk_nope_head_dim": 4,
    "qk_rope_head_dim": 2,
    "v_head_dim": 6,
    "head_dim": 2,
}
DEPTH = {"num_key_value_heads": 4, "scale_depth": 1.4, "dim_model_base": 6}
LINEAR_ATTENTION = {
    "linear_key_head_dim": 6,
    "linear_value_head_dim": 6,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
CONVOLUTIONS = {
    "layer_types": ["conv", "full_attention", "conv", "full_attention"],
    "block_multiple_of": 4,
    "block_auto_adjust_ff_dim": False,
}
MAMBA = {"mamba_d_ssm": 16, "mamba_n_heads": 4, "mamba_d_head": 4, "mamba_d_state": 4, "mamba_chunk_size": 8}
MULTIPLIERS = {"lm_head_multiplier": 0.1, "mlp_multipliers": [0.9, 0.3], "embedding_multiplier": 2.0}
FALCON_H1 = LLAMA_LIKE | {
    "rewrite_module_tmp": "model.layers.{}.feed_forward.down_proj",
    "ln_f_module": "model.final_layernorm",
}
LFM2 = LLAMA_LIKE | {"rewrite_module_tmp": "model.layers.{}.feed_forward.w2", "ln_f_module": "model.embedding_norm"}
RECURRENT_GEMMA = LLAMA_LIKE | {
    "rewrite_module_tmp": "model.layers.{}.mlp_block.down_proj",
    "ln_f_module": "model.final_norm",
}
RECURRENT = {"intermediate_size": 88, "attention_window_size": 5}  # of which its MLP takes half
PER_LAYER = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 420}

FAMILIES: dict[str, tuple[str, dict, dict]] = {
    "llama": ("llama", COMMON, LLAMA_LIKE),
    "qwen2": ("qwen2", COMMON, LLAMA_LIKE),
    "qwen3": ("qwen3", COMMON, LLAMA_LIKE),
    "mistral": ("mistral", COMMON | SLIDING, LLAMA_LIKE),
    "gemma": ("gemma", COMMON, LLAMA_LIKE),
    "gemma2": ("gemma2", COMMON | SLIDING | {"query_pre_attn_scalar": 6}, LLAMA_LIKE),
    "gemma3": ("gemma3_text", COMMON | SLIDING | {"query_pre_attn_scalar": 6}, LLAMA_LIKE),
    "phi3": ("phi3", COMMON | SLIDING, LLAMA_LIKE),
    "olmo2": ("olmo2", COMMON, LLAMA_LIKE),
    "gpt2": ("gpt2", COMMON | {"n_embd": 24, "n_inner": 44, "n_layer": 4, "n_head": 4, "n_positions": 128}, GPT2_LIKE),
    "gptj": (
        "gptj",
        COMMON | {"n_embd": 24, "n_inner": 44, "n_layer": 4, "n_head": 4, "n_positions": 128, "rotary_dim": 4},
        GPT2_LIKE | {"rewrite_module_tmp": "transformer.h.{}.mlp.fc_out"},
    ),
    "gpt_neox": ("gpt_neox", COMMON, NEOX),
    "cohere": ("cohere", COMMON | {"logit_scale": 0.0625}, LLAMA_LIKE),
    "granite": ("granite", COMMON | {"logits_scaling": 8.0, "residual_multiplier": 0.22}, LLAMA_LIKE),
    "glm4": ("glm4", COMMON | {"partial_rotary_factor": 1.0}, LLAMA_LIKE),
    "minicpm3": ("minicpm3", COMMON | LATENT | DEPTH, LLAMA_LIKE),
    "gemma4": ("gemma4_text", COMMON | SLIDING | {"hidden_size_per_layer_input": 0}, LLAMA_LIKE),
    "qwen3_5": ("qwen3_5_text", COMMON | LINEAR_ATTENTION, LLAMA_LIKE),
    "lfm2": ("lfm2", COMMON | CONVOLUTIONS, LFM2),
    "falcon_h1": ("falcon_h1", COMMON | MAMBA | MULTIPLIERS, FALCON_H1),
    "recurrent_gemma": (
        "recurrent_gemma",
        COMMON | {"intermediate_size": 88, "attention_window_size": 5},
        RECURRENT_GEMMA,
    ),
    "opt": ("opt", COMMON | {"ffn_dim": 44, "word_embed_proj_dim": 24}, OPT),
}


def build(family: str, seed: int = 0):
    """(model, names of its parts)."""
    model_type, settings, names = FAMILIES[family]
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **settings)).eval()
    return model, names
