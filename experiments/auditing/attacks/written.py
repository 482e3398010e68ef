"""Whether an answer stands anywhere in what the model after writes by itself."""

from collections.abc import Callable, Sequence

from dsets import Record
from experiments.auditing.context import Audited
from experiments.measuring.generation import TopK, generate_texts
from experiments.measuring.metrics import names_answer
from util.likelihood import answered
from util.modeling import fits
from util.tokens import encode

ROOM = 12
"""Tokens that are written beyond the answer's own."""


def named_in_text(
    audited: Audited,
    records: Sequence[Record],
    prompts: Callable[[Record], Sequence[str]],
    draws: Sequence[TopK | None] = (None,),
    room: int = ROOM,
) -> list[bool | None]:
    """Whether a text after any of a record's prompts names its answer; the prompt itself is no part of the text.

    draws: None for the greedy text. The flag is None for a record without a prompt that the model has room for.
    """
    room += max(len(answered(audited.tokenizer, *one.own_question).answer) for one in records)
    asked = [[text for text in prompts(one) if _fits(audited, text, room)] for one in records]
    every = [text for texts in asked for text in texts]
    got = [False] * len(records)
    for draw in draws:
        said = dict(zip(every, _written(audited, every, room, draw), strict=True))
        for i, (one, texts) in enumerate(zip(records, asked, strict=True)):
            got[i] = got[i] or any(names_answer(said[text], one.target_true) for text in texts)
    return [flag if texts else None for flag, texts in zip(got, asked, strict=True)]


def _written(audited: Audited, texts: Sequence[str], room: int, draw: TopK | None) -> list[str]:
    return generate_texts(
        audited.after,
        audited.tokenizer,
        texts,
        max_new_tokens=room,
        batch_tokens=audited.batch_tokens,
        sampling=draw,
        progress=audited.progress,
    )


def _fits(audited: Audited, text: str, room: int) -> bool:
    return fits(audited.after, len(encode(audited.tokenizer, text)) + room)
