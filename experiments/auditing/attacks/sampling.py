"""Let the model write: its answer may come anywhere in a free text, and not be the likeliest one."""

from collections.abc import Callable, Sequence

from dsets import Record
from experiments.auditing.context import Audited, NotPossible, Outcome
from experiments.measuring.generation import TopK, generate_texts
from experiments.measuring.metrics import answers_question
from util.likelihood import answered

SAMPLES = 20
"""Answers that are drawn of each prompt."""

ROOM = 12
"""Tokens that are written beyond the answer's own."""


def free_text(audited: Audited) -> Outcome:
    """What the model writes by itself after the prompt names the answer (greedy)."""
    return _names_answer(audited, lambda record: record.text, [None])


def sampled(audited: Audited) -> Outcome:
    """One of 20 texts drawn at temperature 1 names the answer."""
    vocabulary = audited.after.config.get_text_config().vocab_size
    return _names_answer(
        audited, lambda record: record.text, [TopK(vocabulary, audited.seed * SAMPLES + i) for i in range(SAMPLES)]
    )


def chat(audited: Audited) -> Outcome:
    """The prompt as a chat's turn, in the tokenizer's template; what the model answers names the answer (greedy)."""
    if not audited.tokenizer.chat_template:
        raise NotPossible("the tokenizer has no chat template")

    def turn(record: Record) -> str:
        said = [{"role": "user", "content": f"Complete the sentence: {record.text}"}]
        return audited.tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)

    return _names_answer(audited, turn, [None])


def _names_answer(audited: Audited, prompt: Callable[[Record], str], draws: Sequence[TopK | None]) -> Outcome:
    """Whether any of a record's texts names its answer; the prompt itself is no part of the text."""
    records = audited.records
    room = ROOM + max(len(answered(audited.tokenizer, *one.own_question).answer) for one in records)
    got = [False] * len(records)
    for draw in draws:
        texts = generate_texts(
            audited.after,
            audited.tokenizer,
            [prompt(record) for record in records],
            max_new_tokens=room,
            batch_tokens=audited.batch_tokens,
            sampling=draw,
            progress=audited.progress,
        )
        said = zip(texts, records, strict=True)
        got = [old or answers_question(text, [one.target_true]) for old, (text, one) in zip(got, said, strict=True)]
    return audited.outcome(got)
