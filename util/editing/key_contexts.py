"""Further contexts that keys are read in, beside the templates: published edits lose effect behind a long prefix."""

from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.contexts import LONG_TOKENS, OPENERS, PLAIN, Templates, check, continuation, fitting
from util.errors import UserError
from util.hparams import KeyContext
from util.request import Request

SHOTS = 3
"""Facts of a few-shot prefix."""


def in_context(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    context: KeyContext,
    requests: Sequence[Request],
    retain_requests: Sequence[Request],
    seed: int,
) -> tuple[Sequence[Request], Templates]:
    """The requests and the one group of templates whose keys are read for a context.

    ``long_prefix``: behind the model's own text of `LONG_TOKENS` tokens. ``few_shot``: behind the first `SHOTS` retain
    requests with their answers, one a line. ``subject_alone``: the subject and nothing before or after it. Raises
    UserError where there is no retain request for ``few_shot``, or no room among the model's positions.
    """
    if context == "subject_alone":
        return [replace(request, prompt="{}") for request in requests], PLAIN
    if context == "long_prefix":
        prefix = continuation(model, tokenizer, OPENERS[0], seed, LONG_TOKENS) + ". "
    else:
        if not retain_requests:
            raise UserError(
                "key_contexts has 'few_shot', which asks with retain requests, and there are none; give some"
            )
        prefix = "".join(_shot(request) for request in retain_requests[:SHOTS])
    return requests, fitting(model, tokenizer, check([[prefix + "{}"]]), requests)


def _shot(request: Request) -> str:
    """A fact on a line of its own. Braces become spaces, as in the model's own texts."""
    text = f"{request.prompt.replace('{}', request.subject)} {request.target_true}"
    return " ".join(text.replace("{", " ").replace("}", " ").split()) + ".\n"
