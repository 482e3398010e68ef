"""Greedy generation in batches."""

from collections.abc import Sequence

import torch
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from experiments.batching import in_batches
from util.hooks import frozen
from util.tokens import encode, pad


def generate_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_tokens: int,
    progress: bool = False,
) -> list[str]:
    """What the model says after each prompt, up to so many tokens or EOS, without special tokens; in the given order.

    Greedy whatever generation settings the checkpoint carries. Equal prompts are answered once. Rows are padded on the
    left, so that a batch gives the texts that single prompts give.
    """
    texts = list(dict.fromkeys(prompts))
    rows = [encode(tokenizer, text) for text in texts]

    def answer(group: list[int]) -> list[str]:
        return _continue(model, tokenizer, [rows[i] for i in group], max_new_tokens)

    said: dict[str, str] = {}
    with tqdm(total=len(texts), desc="generating", unit="text", disable=not progress, leave=False) as bar:
        lengths = [len(row) + max_new_tokens for row in rows]
        for group, answers in in_batches(lengths, batch_tokens, answer):
            said.update(zip((texts[i] for i in group), answers, strict=True))
            bar.update(len(group))
    return [said[prompt] for prompt in prompts]


def _continue(model, tokenizer, rows: list[list[int]], max_new_tokens: int) -> list[str]:
    ends = _ends(model, tokenizer)
    batch = pad(rows, side="left", device=model.device)
    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        max_new_tokens=max_new_tokens,
        eos_token_id=ends,
        pad_token_id=ends[0] if ends else 0,
    )
    with torch.no_grad(), frozen(model):
        output = model.generate(batch.input_ids, attention_mask=batch.attention_mask, generation_config=settings)
    return tokenizer.batch_decode(output[:, batch.input_ids.shape[1] :], skip_special_tokens=True)


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends a text: the tokenizer's EOS and those the checkpoint names (a chat model's end of turn)."""
    named = model.generation_config.eos_token_id
    named = named if isinstance(named, list) else [named]
    return [end for end in dict.fromkeys([tokenizer.eos_token_id, *named]) if end is not None]
