"""The embedded model before and after training: tokenizer, fresh weights, the final scale, its folder."""

import json
import os
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from experiments.pretraining.pretrain_settings import PretrainSettings

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2


def train_tokenizer(texts: list[str], vocab: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE that puts BOS in front of every text; EOS and padding are tokens of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocab,
            special_tokens=[PAD, BOS, EOS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, BOS_ID)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD, clean_up_tokenization_spaces=False
    )


def new_model(settings: PretrainSettings, vocab: int) -> LlamaForCausalLM:
    """A Llama with tied embeddings and random float32 weights that depend on the seed alone."""
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=settings.hidden,
        intermediate_size=settings.intermediate,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads,
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return LlamaForCausalLM(config)


# --- after training


def rescale(model: LlamaForCausalLM, factor: float) -> None:
    """Divide the residual stream by `factor` without changing what the model computes, in place.

    Muon's weights leave states so long that a target search in steps of 0.1 moves nothing. Everything that writes to
    the stream is divided; every reader is an RMSNorm, for which its epsilon goes down with the square. The last one's
    weight makes up for the head, which is tied to the embeddings.
    """
    with torch.no_grad():
        model.model.embed_tokens.weight /= factor
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight /= factor
            layer.mlp.down_proj.weight /= factor
        model.model.norm.weight *= factor
    model.config.rms_norm_eps /= factor**2
    for norm in model.modules():
        if hasattr(norm, "variance_epsilon"):
            norm.variance_epsilon = model.config.rms_norm_eps


def write_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> int:
    """Weights (bfloat16 safetensors), config and tokenizer, each file in one move. Returns the weights' bytes.

    The model given becomes bfloat16.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as temporary:
        model.to(torch.bfloat16).save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        _name_tokenizer_class(Path(temporary) / "tokenizer_config.json")
        for file in Path(temporary).iterdir():
            file.chmod(0o644)  # safetensors makes files for their owner only
            os.replace(file, folder / file.name)
    return (folder / "model.safetensors").stat().st_size


def _name_tokenizer_class(path: Path) -> None:
    # transformers 5 writes a class name that older releases do not have; both know this one
    config = json.loads(path.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
