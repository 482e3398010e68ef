"""Tiny GGUF files, written as llama.cpp's converter writes those of a Llama with a byte-level tokenizer."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

from tests.tiny import tiny_llama

SIZES = {"hidden_size": 32, "intermediate_size": 64, "max_position_embeddings": 128}
"""Multiples of a block of 32 weights."""


def tiny():
    """The model and tokenizer that the files hold."""
    return tiny_llama(**SIZES)


def write(
    path: Path,
    kind: Type = Type.F32,
    architecture: str = "llama",
    tensors: Mapping[str, np.ndarray] | None = None,
    keys: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
) -> Path:
    """A file of the tiny Llama, its matrices stored in `kind`; returns its path.

    tensors: further ones, by their names in the file. keys: adds further keys.
    """
    model, tokenizer = tiny()
    writer = gguf.GGUFWriter(path, architecture)
    _settings(writer, model.config)
    keys(writer)
    _vocabulary(writer, tokenizer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        values = _as_stored(name, weight.numpy(), model.config)
        stored = kind if values.ndim == 2 else Type.F32
        packed = gguf.quantize(values, stored)
        writer.add_tensor(f"{names.get_name(name.removesuffix('.weight'))}.weight", packed, raw_dtype=stored)
    for name, values in (tensors or {}).items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _settings(writer: gguf.GGUFWriter, config) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _vocabulary(writer: gguf.GGUFWriter, tokenizer) -> None:
    backend = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens = sorted(backend["vocab"], key=backend["vocab"].get)
    tokens += [f"<unused{i}>" for i in range(len(tokens), 420)]
    special = {"<s>", "</s>", "<pad>"}
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in backend["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")


def _as_stored(name: str, values: np.ndarray, config) -> np.ndarray:
    """The rows of queries and keys stand in the order of the older rotary embedding."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = next((number for part, number in heads.items() if part in name), None)
    if count is None:
        return values
    rows, columns = values.shape
    return values.reshape(count, 2, rows // count // 2, columns).swapaxes(1, 2).reshape(rows, columns)
