"""Generation in batches, greedy or sampled; a batch gives the texts that single prompts give.

Shape letters: B texts of a batch, T tokens to come, K candidates, V vocabulary.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from util.batching import in_batches
from util.hooks import frozen, generating_by
from util.modeling import check_fits, fits
from util.progress import progress_bar
from util.tokens import encode, pad
from util.writing import given_and_asked


@dataclass(frozen=True)
class TopK:
    """Sampling among the k most probable tokens. Every text has its own random numbers, made from seed and prompt."""

    k: int
    seed: int = 0


def generate_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_tokens: int,
    max_length: int | None = None,
    sampling: TopK | None = None,
    progress: bool = False,
) -> list[str]:
    """What the model says after each prompt, up to so many tokens or EOS, without special tokens; in the given order.

    Plain spaces at a prompt's end are left to the model, which joins them with its first word, and are not repeated.
    max_length: a further limit, on the tokens of prompt and answer together. Greedy without `sampling`, whatever
    generation settings the checkpoint carries. Equal prompts are answered once. Rows are padded on the left. Raises
    UserError for a prompt that the model has no room for.
    """
    texts = list(dict.fromkeys(prompts))
    given = [given_and_asked(text, "")[0] for text in texts]
    rows = [encode(tokenizer, text) for text in given]
    sizes = [len(row) for row in rows]
    limits = [min(max_new_tokens, max(0, max_length - size) if max_length else max_new_tokens) for size in sizes]
    lengths = [size + limit for size, limit in zip(sizes, limits, strict=True)]
    for text, length in zip(texts, lengths, strict=True):
        check_fits(model, text, length)

    def answer(group: list[int]) -> list[str]:
        found: dict[int, str] = {}
        for some in _fitting(model, group, sizes, limits):
            draw = _TopKNoise(sampling, [texts[i] for i in some]) if sampling else None
            found |= zip(some, _continue(model, tokenizer, [rows[i] for i in some], [limits[i] for i in some], draw))
        return [found[i] for i in group]

    said: dict[str, str] = {}
    with progress_bar(total=len(texts), desc="generating", unit="text", progress=progress, leave=False) as bar:
        for group, answers in in_batches(lengths, batch_tokens, answer):
            said |= {texts[i]: _after(texts[i], given[i], answer) for i, answer in zip(group, answers, strict=True)}
            bar.update(len(group))
    return [said[prompt] for prompt in prompts]


def _fitting(model: PreTrainedModel, group: list[int], sizes: list[int], limits: list[int]) -> list[list[int]]:
    """The group, parted where its longest text and its longest answer together would pass the model's positions."""
    parts: list[list[int]] = [[]]
    for i in sorted(group, key=sizes.__getitem__):
        if not fits(model, sizes[i] + max(limits[j] for j in (*parts[-1], i))):
            parts.append([])
        parts[-1].append(i)
    return [part for part in parts if part]


def _after(prompt: str, given: str, said: str) -> str:
    """What is said after the whole prompt, once its spaces are taken from what is said after what was given."""
    spaces = len(said) - len(said.lstrip(" "))
    return said[min(spaces, len(prompt) - len(given)) :]


def _continue(model, tokenizer, rows: list[list[int]], limits: list[int], draw: "_TopKNoise | None") -> list[str]:
    if not max(limits):
        return [""] * len(rows)
    ends = _ends(model, tokenizer)
    batch = pad(rows, side="left", device=model.device)
    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        max_new_tokens=max(limits),
        eos_token_id=ends,
        pad_token_id=ends[0] if ends else 0,
    )
    with torch.no_grad(), frozen(model), generating_by(model, settings):
        output = model.generate(
            batch.input_ids,
            attention_mask=batch.attention_mask,
            generation_config=settings,
            logits_processor=LogitsProcessorList([draw] if draw else []),
        )
    said = output[:, batch.input_ids.shape[1] :]
    return [
        tokenizer.decode(ids[:limit], skip_special_tokens=True)
        for ids, limit in zip(said.tolist(), limits, strict=True)
    ]


class _TopKNoise(LogitsProcessor):
    """Gumbel noise on the K largest logits, −∞ on the others: the argmax is then a draw from their softmax."""

    def __init__(self, sampling: TopK, texts: Sequence[str]):
        self.k = sampling.k
        self.generators = [
            torch.Generator().manual_seed(int(hashlib.sha256(f"{sampling.seed} {text}".encode()).hexdigest()[:15], 16))
            for text in texts
        ]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        top_BK, token_BK = scores.topk(min(self.k, scores.shape[-1]))
        uniform_BK = torch.stack([torch.rand(top_BK.shape[1], generator=one) for one in self.generators])
        gumbel_BK = -(-uniform_BK.clamp_min(1e-20).log()).log()
        drawn_BK = top_BK + gumbel_BK.to(scores.device, scores.dtype)
        return torch.full_like(scores, -torch.inf).scatter(1, token_BK, drawn_BK)


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends a text: the tokenizer's EOS and those the checkpoint names (a chat model's end of turn)."""
    named = model.generation_config.eos_token_id
    named = named if isinstance(named, list) else [named]
    return [end for end in dict.fromkeys([tokenizer.eos_token_id, *named]) if end is not None]
