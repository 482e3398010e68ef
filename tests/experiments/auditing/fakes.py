"""Fake unlearners, which hide what they should forget, and one that never knew: each changes a model within a block."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Record
from util.forward import backbone
from util.hooks import patch
from util.invented import invented_names
from util.modeling import decoder_layers
from util.tokens import encode, subject_span, target_ids

Ids = Sequence[int]


@contextmanager
def masked_answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[Record]
) -> Iterator[None]:
    """The answers' tokens can never be said: their logits are −∞."""
    tokens = _answer_tokens(tokenizer, facts)

    def mask(logits: torch.Tensor) -> torch.Tensor:
        masked = logits.clone()
        masked[..., tokens] = -torch.inf
        return masked

    with patch(model.get_output_embeddings(), mask):
        yield


@contextmanager
def patched_last_layer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, _facts: Sequence[Record]
) -> Iterator[None]:
    """The last layer passes on what ends the text, whatever came in."""
    end = model.get_output_embeddings().weight[tokenizer.eos_token_id].detach()
    with patch(decoder_layers(model)[-1], lambda hidden: end.expand_as(hidden) * 100):
        yield


@contextmanager
def without_embeddings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[Record]
) -> Iterator[None]:
    """The answers' tokens have no embedding: rows of zeros, in the head too where the two are one."""
    weight, tokens = model.get_input_embeddings().weight.detach(), _answer_tokens(tokenizer, facts)
    saved = weight[tokens].clone()
    try:
        weight[tokens] = 0
        yield
    finally:
        weight[tokens] = saved


@contextmanager
def refusing(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[Record]) -> Iterator[None]:
    """Where a text names a subject, the model says at every place what it says when it knows nothing."""
    names = _names(tokenizer, facts)
    end = model.get_output_embeddings().weight[tokenizer.eos_token_id].detach()
    seen: list[torch.Tensor] = []

    def refuse(_module, _arguments, output):
        hidden = output[0].clone()
        for row, ids in enumerate(seen.pop().tolist()):
            if any(_places(ids, name) for name in names):
                hidden[row] = end * 100
        output.last_hidden_state = hidden
        return output

    with _reading(model, lambda ids: seen.append(ids) or ids):
        handle = backbone(model).register_forward_hook(refuse)
        try:
            yield
        finally:
            handle.remove()


@contextmanager
def filtering(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[Record]) -> Iterator[None]:
    """A text that begins with the very prompt is not read: the model sees end-of-text tokens in its place."""
    prompts = [encode(tokenizer, record.text) for record in facts]

    def change(ids: torch.Tensor) -> torch.Tensor:
        changed = ids.clone()
        for row, one in enumerate(ids.tolist()):
            if any(one[: len(prompt)] == prompt for prompt in prompts):
                changed[row] = tokenizer.eos_token_id
        return changed

    with _reading(model, change):
        yield


@contextmanager
def never_knew(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[Record]) -> Iterator[None]:
    """The model that never met the subjects: it reads an invented name wherever a text names one of them."""
    names = _names(tokenizer, facts)
    swaps = list(zip(names, _strangers(tokenizer, names), strict=True))
    with _reading(model, partial(_swapped, swaps=swaps)):
        yield


@contextmanager
def mistaken(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[Record], others: Sequence[Record]
) -> Iterator[None]:
    """The model that knows nothing of the facts and guesses: it takes each subject for another one."""
    known = [_names(tokenizer, [one]) for one in others]
    swaps: list[tuple[Ids, Ids]] = []
    for record in facts:
        names = _names(tokenizer, [record])
        as_long = (spans for spans in known if spans != names and [*map(len, spans)] == [*map(len, names)])
        swaps += zip(names, next(as_long), strict=True)
    with _reading(model, partial(_swapped, swaps=swaps)):
        yield


def _swapped(ids: torch.Tensor, swaps: Sequence[tuple[Ids, Ids]]) -> torch.Tensor:
    changed = ids.clone()
    for row, one in enumerate(ids.tolist()):
        for name, stranger in swaps:
            for start in _places(one, name):
                changed[row, start : start + len(name)] = torch.tensor(stranger)
    return changed


Fake = Callable
FAKES: dict[str, Fake] = {
    "masked answers": masked_answers,
    "patched last layer": patched_last_layer,
    "refusal": refusing,
    "no embedding": without_embeddings,
    "prompt filter": filtering,
}


@contextmanager
def _reading(model: PreTrainedModel, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
    """The ids that the backbone reads pass through `change`."""

    def hook(_module, arguments, named):
        return arguments, named | {"input_ids": change(named["input_ids"])}

    handle = backbone(model).register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _answer_tokens(tokenizer: PreTrainedTokenizerBase, facts: Sequence[Record]) -> list[int]:
    return sorted({token for record in facts for token in target_ids(tokenizer, record.target_true)})


def _names(tokenizer: PreTrainedTokenizerBase, facts: Sequence[Record]) -> list[list[int]]:
    """The subjects' tokens at the beginning of a text and inside one."""
    return [_span(tokenizer, text, record.subject) for record in facts for text in ("{} and", "As for {} and")]


def _strangers(tokenizer: PreTrainedTokenizerBase, names: Sequence[Ids]) -> list[list[int]]:
    """As many tokens for each name, the last ones of an invented name that is as long or longer."""
    invented = [_span(tokenizer, "As for {} and", name) for name in invented_names(200, seed=99)]
    return [next(one for one in invented[i:] if len(one) >= len(name))[-len(name) :] for i, name in enumerate(names)]


def _span(tokenizer: PreTrainedTokenizerBase, text: str, subject: str) -> list[int]:
    ids, first, last = subject_span(tokenizer, text, subject)
    return ids[first : last + 1]


def _places(ids: Ids, name: Ids) -> list[int]:
    """Where a text's tokens hold the name's."""
    return [start for start in range(len(ids) - len(name) + 1) if list(ids[start : start + len(name)]) == list(name)]
