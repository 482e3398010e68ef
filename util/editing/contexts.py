"""Context templates: the model's own short texts, put before a prompt so that keys do not hang on one context."""

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from util.hooks import frozen, generating_by
from util.request import Request
from util.tokens import encode

OPENERS = ("The", "Therefore", "Because", "I", "You")
TOTAL_TOKENS = 10
"""Length of a continuation, opener and BOS included (the published release's setting)."""
TOP_K = 5

Templates = list[list[str]]


def generate(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> Templates:
    """Two groups of templates: ``["{}"]`` and one ``"<continuation>. {}"`` per opener (as in MEMIT).

    Continuations are sampled with top-k 5 to ten tokens in all. Braces become spaces, white space is folded, special
    tokens are left out of the text, so that a prompt has one BOS, never two. The same model, seed and device give the
    same templates, whatever generation settings the checkpoint carries (only its end tokens count); the global random
    state is left as it was.
    """
    return [["{}"], [_continuation(model, tokenizer, opener, seed) + ". {}" for opener in OPENERS]]


def _continuation(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, opener: str, seed: int) -> str:
    ids = torch.tensor([encode(tokenizer, opener)], device=model.device)
    devices = [model.device] if model.device.type == "cuda" else []
    settings = GenerationConfig(
        do_sample=True,
        top_k=TOP_K,
        max_length=TOTAL_TOKENS,
        eos_token_id=model.generation_config.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices), torch.no_grad(), frozen(model), generating_by(model, settings):
        torch.manual_seed(seed)
        output = model.generate(ids, attention_mask=torch.ones_like(ids))
    text = tokenizer.decode(output[0], skip_special_tokens=True)
    return " ".join(text.replace("{", " ").replace("}", " ").split())


def check(templates: Templates) -> Templates:
    """The same templates, once every one of them has exactly one ``{}``; ValueError otherwise."""
    flat = flatten(templates)
    if not flat or not all(templates) or any(template.count("{}") != 1 for template in flat):
        raise ValueError(f"context_templates {templates!r}: non-empty groups of texts with exactly one '{{}}' each")
    return templates


def flatten(templates: Templates) -> list[str]:
    """All templates in order, groups forgotten."""
    return [template for group in templates for template in group]


def fill(template: str, request: Request) -> str:
    """The request's prompt inside a context, and both inside its frame; ``{}`` stands for the subject."""
    return request.frame.around(template.replace("{}", request.prompt))
