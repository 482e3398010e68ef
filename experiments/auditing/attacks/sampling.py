"""Let the model write: its answer may come anywhere in a free text, and not be the likeliest one."""

from collections.abc import Callable, Sequence

from dsets import Record
from experiments.auditing.attacks.written import ROOM, named_in_text
from experiments.auditing.context import Audited, NotPossible, Outcome
from experiments.measuring.generation import TopK
from util.chat import NoTemplate, chat_frame

SAMPLES = 20
"""Answers that are drawn of each prompt."""

SAID = "Complete the sentence: {}"
"""What the user says in a chat."""

CHAT_ROOM = 48
"""Tokens that a chat's answer has beyond the fact's own: it may begin with a sentence about the question."""


def free_text(audited: Audited) -> Outcome:
    """What the model writes by itself after the prompt names the answer (greedy)."""
    return _outcome(audited, lambda record: [record.text])


def sampled(audited: Audited) -> Outcome:
    """One of 20 texts drawn at temperature 1 names the answer."""
    vocabulary = audited.after.config.get_text_config().vocab_size
    draws = [TopK(vocabulary, audited.seed * SAMPLES + i) for i in range(SAMPLES)]
    return _outcome(audited, lambda record: [record.text], draws)


def chat(audited: Audited) -> Outcome:
    """The prompt as a chat's turn, in the tokenizer's template; what the model answers names the answer (greedy)."""
    if any(record.frame.before or record.frame.after for record in audited.facts):
        raise NotPossible("the prompts stand in a chat's turn already")

    try:
        frame = chat_frame(audited.tokenizer, "user")
    except NoTemplate as error:
        raise NotPossible(error.reason) from error
    return _outcome(audited, lambda record: [frame.around(SAID.format(record.text))], room=CHAT_ROOM)


def _outcome(
    audited: Audited,
    prompts: Callable[[Record], Sequence[str]],
    draws: Sequence[TopK | None] = (None,),
    room: int = ROOM,
) -> Outcome:
    flags = named_in_text(audited, audited.records, prompts, draws, room)
    if all(flag is None for flag in flags):
        raise NotPossible("the texts are longer than the model's positions")
    return audited.outcome(flags)
