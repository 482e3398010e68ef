"""What every attack is given and what it gives back."""

import math
import random
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Record
from dsets.record import relation
from util.invented import invented_names
from util.tokens import subject_and_answer

LEAST_CONTROLS = 100
"""Invented subjects of an audit, at least: a chance level of none is then told from one in a hundred."""
LEAST_WRONG = 200
"""Wrong answers of an audit, at least, repeated ones counted as often: the chance level of one that guesses hangs on
them."""
FEWEST_CONTROLS = 20
"""Controls beside the wrong answers: as many as a 95 % quantile takes. No share is made of theirs."""

Flags = tuple[bool | None, ...]
"""Whether the attack got the answer, one a record; None where it cannot be tried on that record."""


class NotPossible(Exception):
    """An attack that cannot be tried on this model or file. The message is the reason, which the report gives."""


class OutOfTime(Exception):
    """An attack has used up its budget."""


@dataclass(frozen=True)
class Outcome:
    """What an attack got: flags of the facts and of the controls, in their order, and figures for the report (JSON)."""

    facts: Flags
    controls: Flags
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Audited:
    """Two models and the facts between them.

    before: the model that knows the facts. after: the one that is to have forgotten them, of the same shape.
    facts: those that `before` answers right. controls: the same facts of subjects that do not exist, so that nobody
    knows them; as many for each fact, control i belongs to fact i % len(facts). file: all records that were to be
    forgotten. context: further records of their kind that were not. wrong: facts with an answer that is not true, and
    how often each counts (see `with_wrong_answers`). oracle: a model of the same shape that never met the facts, where
    there is one. batch_tokens: padded tokens of one batch.
    deadline: when the attack has to end, by `time.perf_counter`. detailed: whether anybody reads an outcome's details.
    """

    before: PreTrainedModel
    after: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    facts: tuple[Record, ...]
    controls: tuple[Record, ...]
    file: tuple[Record, ...]
    context: tuple[Record, ...] = ()
    oracle: PreTrainedModel | None = None
    wrong: Mapping[Record, int] = field(default_factory=dict)
    seed: int = 0
    batch_tokens: int = 2048
    progress: bool = False
    deadline: float = math.inf
    detailed: bool = True

    def check_time(self) -> None:
        """Raises OutOfTime once the deadline is over."""
        if time.perf_counter() > self.deadline:
            raise OutOfTime

    @property
    def records(self) -> tuple[Record, ...]:
        """The facts, then the controls: an attack treats both alike."""
        return (*self.facts, *self.controls)

    @property
    def pool(self) -> tuple[Record, ...]:
        """What other wordings, objects, subjects and examples are taken from."""
        return (*self.file, *self.context)

    def of_wrong_answers(self) -> "Audited":
        """The same audit of the wrong answers, with few controls: what an attack gets of them it gets without knowing
        what is true."""
        pairs = zip(self.wrong, self.controls[:FEWEST_CONTROLS])
        controls = tuple(renamed(wrong, control.subject) for wrong, control in pairs)
        return replace(self, facts=tuple(self.wrong), controls=controls, detailed=False)

    def outcome(self, flags: Sequence[bool | None], **details: object) -> Outcome:
        """The flags of `records`, told apart."""
        return Outcome(tuple(flags[: len(self.facts)]), tuple(flags[len(self.facts) :]), details)

    def tokens(self, record: Record) -> tuple[list[int], list[int], int, int]:
        """Ids of the prompt and of the answer, and the places of the subject's first and last token."""
        template, prefix = record.request().template, record.answer_prefix
        return subject_and_answer(self.tokenizer, template, record.subject, record.target_true, prefix)

    def draw(self, record: Record, what: str) -> random.Random:
        """Random numbers of this record and purpose, the same in every run. Controls have their fact's."""
        return random.Random(f"{self.seed} {what} {record.prompt} {record.target_true}")

    def peers(self, record: Record) -> list[Record]:
        """Records of the same relation (or the same prompt, where the file names none) with another answer."""
        return [
            other
            for other in self.pool
            if relation(other) == relation(record)
            and other.subject != record.subject
            and not same(other.target_true, record.target_true)
        ]

    def wordings(self, record: Record, most: int) -> list[str]:
        """Texts that ask for the answer in other words: the record's own, then its relation's other prompts."""
        templates = dict.fromkeys(other.prompt for other in self.pool if relation(other) == relation(record))
        others = [template.replace("{}", record.subject) for template in templates if template != record.prompt]
        return list(dict.fromkeys([*record.paraphrases, *others]))[:most]

    def distractors(self, record: Record, count: int) -> list[str]:
        """Up to `count` wrong answers: objects of the same relation, and where those are too few, of the file."""
        peers = self.peers(record)
        near = [name for other in peers for name in (other.target_true, other.target_new) if name]
        near = sorted({name for name in near if not same(name, record.target_true)})
        far = sorted({other.target_true for other in self.pool if not same(other.target_true, record.target_true)})
        draw = self.draw(record, "distractors")
        chosen = draw.sample(near, min(count, len(near)))
        rest = [name for name in far if name not in chosen]
        return [*chosen, *draw.sample(rest, min(count - len(chosen), len(rest)))]


def same(one: str, other: str) -> bool:
    """Whether two answers are one, or one begins the other, so that a model that says it is right about both."""
    one, other = one.casefold(), other.casefold()
    return one.startswith(other) or other.startswith(one)


def make_controls(facts: Sequence[Record], seed: int, least: int = LEAST_CONTROLS) -> tuple[Record, ...]:
    """Each fact about invented subjects: as many for every fact, at least `least` in all and one a fact."""
    rounds = -(-least // len(facts))
    names = invented_names(rounds * len(facts), seed)
    return tuple(renamed(facts[i % len(facts)], name) for i, name in enumerate(names))


def with_wrong_answers(
    facts: Sequence[Record],
    pool: Sequence[Record],
    seed: int,
    least: int = LEAST_WRONG,
    never: Collection[str] = (),
) -> dict[Record, int]:
    """Each fact's answer asked of other facts of its relation, whose answer it is not, in turns: as often for every
    fact, at least `least` times in all. By record its number of turns; none where no answer is untrue of anybody.

    A model that knows a subject, but not this of it, guesses; if it does not know what is true, it says an answer of
    whom it is true as often as of whom it is not. The answer is held fixed, because answers are uneven: who always says
    the relation's most frequent one is right as often as that is true, which is then what it gets by chance, too. Only
    a fact without others is asked for other answers itself, each as often as it is given (see `_untrue`). pool: the
    facts, and whatever else is known of other answers.
    """
    rounds = -(-least // len(facts))
    asked = [_asked_wrongly(fact, facts, pool, seed, never) for fact in facts]
    if not all(asked):
        return {}
    turns = (some[n % len(some)] for n in range(rounds) for some in asked)
    return dict(Counter(replace(one, case_id=f"{one.case_id} wrong: {one.target_true}") for one in turns))


def _asked_wrongly(
    fact: Record, facts: Sequence[Record], pool: Sequence[Record], seed: int, never: Collection[str]
) -> list[Record]:
    """The fact's answer asked of others; where there are none, other answers asked of the fact. In its own order."""
    draw = random.Random(f"wrong {seed} {fact.text} {fact.target_true}")
    told = [one for one in pool if relation(one) == relation(fact)]
    true_of = {one.subject for one in told if same(one.target_true, fact.target_true)}
    others = {one.subject: one for one in facts if relation(one) == relation(fact) and one.subject not in true_of}
    if others:
        return [replace(one, target_true=fact.target_true) for one in draw.sample(list(others.values()), len(others))]
    answers = _untrue(fact, told, pool, never)
    return [replace(fact, target_true=one) for one in draw.sample(answers, len(answers))]


def _untrue(fact: Record, told: Sequence[Record], pool: Sequence[Record], never: Collection[str]) -> list[str]:
    """Answers that are not true of the fact's subject, each as often as it is given: those told of its relation; where
    there are none its own alternative (`target_new`, unless it is one of `never`, what edits lead to); else any of the
    pool.
    """
    true = [fact.target_true, *(one.target_true for one in told if one.subject == fact.subject)]
    own = [fact.target_new] if fact.target_new and fact.target_new not in never else []
    for said in ([one.target_true for one in told], own, [one.target_true for one in pool]):
        untrue = [answer for answer in said if not any(same(answer, one) for one in true)]
        if untrue:
            return untrue
    return []


def renamed(record: Record, name: str) -> Record:
    """The record about another subject: texts that do not hold the subject are left out, and what is not a text."""

    def texts(given: Sequence[str]) -> tuple[str, ...]:
        return tuple(text.replace(record.subject, name) for text in given if record.subject in text)

    return replace(
        record,
        case_id=f"{record.case_id} {name}",
        subject=name,
        paraphrases=texts(record.paraphrases),
        generation_prompts=texts(record.generation_prompts),
        multihop=None,
        levels=(),
    )
