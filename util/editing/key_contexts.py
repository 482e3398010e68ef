"""Further contexts that keys are read in, beside the templates: published edits lose effect behind a long prefix."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.contexts import LONG_TOKENS, OPENERS, PLAIN, Templates, check, continuation, fitting
from util.errors import UserError
from util.hparams import KeyContext
from util.request import Request
from util.tokens import locate_subject

SHOTS = 3
"""Facts of a few-shot prefix."""

Prefixes = Mapping[KeyContext, str]
"""What stands before the prompt in each context."""


def prefixes(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    contexts: Sequence[KeyContext],
    requests: Sequence[Request],
    retain_requests: Sequence[Request],
    seed: int,
) -> Prefixes:
    """The texts of the contexts, made before anything is searched or edited: all layers and facts have the same.

    ``long_prefix``: the model's own text of at most `LONG_TOKENS` tokens (it may end before). ``few_shot``: the first
    `SHOTS` retain requests with their answers, one a line. ``subject_alone``: nothing. Raises UserError where there is
    no retain request for ``few_shot``, no room among the model's positions, or where a subject alone would be read at
    the very first position, whose state is the same whatever stands there.
    """
    made: dict[KeyContext, str] = {}
    for context in contexts:
        if context == "subject_alone":
            made[context] = ""
            _check_alone(tokenizer, requests)
        elif context == "long_prefix":
            made[context] = continuation(model, tokenizer, OPENERS[0], seed, LONG_TOKENS) + ". "
        elif retain_requests:
            made[context] = "".join(_shot(request) for request in retain_requests[:SHOTS])
        else:
            raise UserError(
                "key_contexts has 'few_shot', which asks with retain requests, and there are none; give some"
            )
        in_context(model, tokenizer, context, requests, made)  # has room
    return made


def _check_alone(tokenizer: PreTrainedTokenizerBase, requests: Sequence[Request]) -> None:
    first = next((one.subject for one in requests if locate_subject(tokenizer, "{}", one.subject)[1] == 0), None)
    if first is not None:
        raise UserError(
            f"key_contexts has 'subject_alone', and {first!r} alone is one token at the first position, where this "
            "model's keys say nothing of the token; leave 'subject_alone' out"
        )


def in_context(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    context: KeyContext,
    requests: Sequence[Request],
    made: Prefixes,
) -> tuple[Sequence[Request], Templates]:
    """The requests and the one group of templates whose keys are read for a context, with its prefix out of `made`.

    Raises UserError where there is no room among the model's positions.
    """
    if context == "subject_alone":
        return [replace(request, prompt="{}") for request in requests], PLAIN
    return requests, fitting(model, tokenizer, check([[made[context] + "{}"]]), requests)


def _shot(request: Request) -> str:
    """A fact on a line of its own. Braces become spaces, as in the model's own texts."""
    text = f"{request.prompt.replace('{}', request.subject)} {request.target_true}"
    return " ".join(text.replace("{", " ").replace("}", " ").split()) + ".\n"
