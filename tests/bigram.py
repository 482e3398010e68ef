"""Models that know a text by heart: after each of its tokens they say the next one."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from util.tokens import encode


def reciter(tokenizer: PreTrainedTokenizerBase, text: str) -> LlamaForCausalLM:
    """A Llama whose layers add nothing, whose embeddings are one-hot, and whose head leads from each token of the text
    to the one after it, the last place counting where a token comes twice."""
    size = len(tokenizer) + len(tokenizer) % 2  # heads want an even one
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size,
        intermediate_size=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=4,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).eval()
    ids = [*encode(tokenizer, text), tokenizer.eos_token_id]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight", "lm_head.weight")):
                weight.zero_()
        model.get_input_embeddings().weight.copy_(torch.eye(size))
        for token, following in zip(ids, ids[1:], strict=False):
            model.lm_head.weight[:, token] = 0
            model.lm_head.weight[following, token] = 1
    return model
