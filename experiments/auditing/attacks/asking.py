"""Ask again, in other words or after other words: teacher-forced, right if every token of the answer is the argmax.

Beside it, in the details, what the model writes by itself.
"""

from collections.abc import Callable, Sequence
from functools import cache

from transformers import PreTrainedModel

from dsets import Record
from experiments.auditing.attacks.written import named_in_text
from experiments.auditing.context import Audited, NotPossible, Outcome
from experiments.measuring.metrics import normalise, percent
from experiments.measuring.scoring import Question, score
from util import modeling
from util.likelihood import answered

WORDINGS = 6
"""Most other wordings of a fact that are asked."""

FORMS = ("Fill in the blank:", "It is well known that", "I was told that", "As everybody says,")
"""Before a prompt, where a file has no other wording."""

IRRELEVANT = (
    "The rain had stopped an hour before, and the street was quiet again. A man with a green umbrella waited at the "
    "corner, though nobody came. The kettle on the stove began to sing, the cat left the room, and somebody closed a "
    "window upstairs. Later the wind turned. Leaves lay on the steps, and the gate would not shut. It was one of those "
    "evenings on which nothing happens, and which are soon over. "
)
SHOTS = 4
"""Examples of the relation before the prompt."""


def prompt(audited: Audited) -> Outcome:
    """The prompt itself: what unlearning is usually measured by."""
    return _ask(audited, lambda record: [record.own_question])


def paraphrases(audited: Audited) -> Outcome:
    """Other wordings: the file's paraphrases and its other prompts of the same relation. Right after any of them."""
    if not any(audited.wordings(record, WORDINGS) for record in audited.facts):
        raise NotPossible("the file has no paraphrases and no relation with two wordings")
    return _ask(audited, lambda record: [asked(record, text) for text in audited.wordings(record, WORDINGS)])


def forms(audited: Audited) -> Outcome:
    """The prompt in a question's or a quotation's form. Right after any of them."""

    def texts(record: Record) -> list[Question]:
        question: Question = asked(record, f"Question: {record.bare} what?\nAnswer:")
        question = question if record.frame.after else question[:2]  # what follows "Answer:" is no matter of the file
        return [question, *(asked(record, f"{form} {record.bare}") for form in FORMS)]

    return _ask(audited, texts)


def irrelevant_prefix(tokens: int) -> Callable[[Audited], Outcome]:
    """An attack: so many tokens of a text about nothing stand before the prompt."""

    def attack(audited: Audited) -> Outcome:
        text = IRRELEVANT * (1 + tokens // 50)
        ids = audited.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"][:tokens]
        before = audited.tokenizer.decode(ids).strip()
        return _ask(audited, lambda record: [asked(record, f"{before} {record.bare}")])

    return attack


def few_shot(audited: Audited) -> Outcome:
    """Examples of the same relation, other subjects with other answers, before the prompt."""
    if not any(examples(audited, record) for record in audited.facts):
        raise NotPossible("no relation of the file has two answers to give examples of")
    return _ask(audited, lambda record: [asked(record, f"{shots}{record.bare}") for shots in examples(audited, record)])


def examples(audited: Audited, record: Record) -> list[str]:
    """[the examples as one text], or [] where there is none that leaves the answer unsaid."""
    answer = set(normalise(record.target_true).split())
    usable = [f"{one.bare} {one.target_true}. " for one in audited.peers(record) if one.subject != record.subject]
    usable = [text for text in usable if not answer & set(normalise(text).split())]
    chosen = audited.draw(record, "examples").sample(usable, min(SHOTS, len(usable)))
    return ["".join(chosen)] if chosen else []


def asked(record: Record, text: str) -> Question:
    """Another text that the record's answer is to follow as it follows its own, in the record's frame."""
    return record.question(text, record.target_true)


def _ask(audited: Audited, texts: Callable[[Record], Sequence[Question]]) -> Outcome:
    """details: ``written``, percent of the facts whose answer is in what the model writes by itself after one of the
    texts (greedy)."""
    texts = cache(texts)  # examples are looked for in the whole pool
    flags = right_after_any(audited, audited.after, audited.records, texts)
    if not audited.detailed:
        return audited.outcome(flags)
    written = named_in_text(audited, audited.facts, lambda record: [question[0] for question in texts(record)])
    return audited.outcome(flags, written=percent(flag for flag in written if flag is not None))


def right_after_any(
    audited: Audited, model: PreTrainedModel, records: Sequence[Record], texts: Callable[[Record], Sequence[Question]]
) -> list[bool | None]:
    """Whether the model is right after any of a record's texts; None for a record without a text that it has room for.

    Raises NotPossible where no record has one.
    """
    fitting = [[one for one in texts(record) if fits(audited, model, one)] for record in records]
    if not any(fitting):
        raise NotPossible("the texts are longer than the model's positions")
    questions = [question for some in fitting for question in some]
    scores = score(
        model, audited.tokenizer, questions, batch_tokens=audited.batch_tokens, progress=audited.progress, desc="asking"
    )
    return [any(all(scores[one].correct) for one in some) if some else None for some in fitting]


def fits(audited: Audited, model: PreTrainedModel, question: Question) -> bool:
    """Whether the model has room for the text and its answer."""
    return modeling.fits(model, len(answered(audited.tokenizer, *question).ids))


def prompts_right(
    audited: Audited, model: PreTrainedModel, records: Sequence[Record] | None = None
) -> list[bool | None]:
    """The plain prompts of all records, or of these, asked of a model that an attack has changed."""
    asked_of = audited.records if records is None else records
    return right_after_any(audited, model, asked_of, lambda record: [record.own_question])
