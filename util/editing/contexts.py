"""Context templates: the model's own short texts, put before a prompt so that keys do not hang on one context."""

import logging
from collections.abc import Sequence

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from util.hooks import frozen, generating_by
from util.likelihood import answered
from util.modeling import check_fits, fits
from util.request import Request
from util.tokens import encode

log = logging.getLogger("zerounlearn")

OPENERS = ("The", "Therefore", "Because", "I", "You")
TOTAL_TOKENS = 10
"""Length of a continuation, opener and BOS included (the published release's setting)."""
LONG_TOKENS = 50
"""Length of a long prefix (`key_contexts`)."""
TOP_K = 5

Templates = list[list[str]]

PLAIN: Templates = [["{}"]]
"""No text before a prompt."""


def generate(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int = 0) -> Templates:
    """Two groups of templates: ``["{}"]`` and one ``"<continuation>. {}"`` per opener (as in MEMIT).

    Continuations are sampled with top-k 5 to ten tokens in all. Braces become spaces, white space is folded, special
    tokens are left out of the text, so that a prompt has one BOS, never two. The same model, seed and device give the
    same templates, whatever generation settings the checkpoint carries (only its end tokens count); the global random
    state is left as it was.
    """
    return [["{}"], [continuation(model, tokenizer, opener, seed) + ". {}" for opener in OPENERS]]


def continuation(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, opener: str, seed: int, tokens: int = TOTAL_TOKENS
) -> str:
    """The model's own text of so many tokens, opener and BOS included, sampled as `generate` says."""
    ids = torch.tensor([encode(tokenizer, opener)], device=model.device)
    devices = [model.device] if model.device.type == "cuda" else []
    settings = GenerationConfig(
        do_sample=True,
        top_k=TOP_K,
        max_length=tokens,
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


def fitting(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, templates: Templates, requests: Sequence[Request]
) -> Templates:
    """The templates in which every request's prompt has room for its answers among the model's positions.

    The others are left out, with a warning. Raises UserError for a prompt that has no room in any of them.
    """
    longest = {template: _longest(tokenizer, template, requests) for template in flatten(templates)}
    room = {template: fits(model, tokens) for template, (tokens, _) in longest.items()}
    if not any(room.values()):
        tokens, text = min(longest.values())
        check_fits(model, text, tokens)
    if not all(room.values()):
        log.warning(
            "%d of %d context templates are left out: with them the longest prompt and answer have more tokens than "
            "the model has positions",
            len(room) - sum(room.values()),
            len(room),
        )
    kept = [[template for template in group if room[template]] for group in templates]
    return [group for group in kept if group]


def with_room(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, requests: Sequence[Request]) -> list[Request]:
    """Those whose plain prompt has room among the model's positions.

    For subjects that nobody asked about, invented ones above all: their names may be longer than the requests' own, and
    a request is not to be refused because of them.
    """
    return [one for one in requests if fits(model, len(encode(tokenizer, one.text)))]


def _longest(tokenizer: PreTrainedTokenizerBase, template: str, requests: Sequence[Request]) -> tuple[int, str]:
    """Tokens of the longest text that the template makes of a request, answer and all, and that text."""
    rows = [
        (fill(template, request).replace("{}", request.subject), answer, request.answer_prefix)
        for request in requests
        for answer in (request.target_new, request.target_true)
    ]
    return max((len(answered(tokenizer, *row).ids), row[0]) for row in rows)


def flatten(templates: Templates) -> list[str]:
    """All templates in order, groups forgotten."""
    return [template for group in templates for template in group]


def fill(template: str, request: Request) -> str:
    """The request's prompt inside a context, and both inside its frame; ``{}`` stands for the subject."""
    return request.frame.around(template.replace("{}", request.prompt))
