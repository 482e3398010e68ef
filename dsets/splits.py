"""Which facts are forgotten, watched, trained on to be kept, and which share a subject with a forgotten one."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice

from dsets.record import Record, relation
from util.errors import UserError
from util.request import Request

NEIGHBORS = 100
"""Neighbours that are named for a prompt form, at most."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One seed's facts.

    forget: at most one per subject. retain: facts of other subjects, from the other half of the file. same_subject:
    every other fact about a forgotten subject, in file order; they share the forgotten fact's key and go with it in
    every method, so they are reported apart. training: facts of the retain pool that a method may train on so that
    they are kept; none of them is scored, neither as a watched fact nor as a neighbour of a forgotten one.
    neighbors: other subjects, that nothing scored speaks of, in the forgotten facts' own prompt forms; at most
    `NEIGHBORS` a form, those of its relation first. warnings: where fewer facts were found than asked for.
    """

    forget: list[Record]
    retain: list[Record]
    same_subject: list[Record]
    training: list[Record]
    warnings: list[str]
    neighbors: list[Request] = field(default_factory=list)


def draw(records: Sequence[Record], unlearn_num: int, retain_num: int, seed: int, spare: Sequence[Record] = ()) -> Draw:
    """Draw with `random.Random(seed)`: first half = retain pool, second half = forget pool.

    `unlearn_num` records come from the forget pool without replacement; where a subject comes twice, the later record
    is replaced by a further draw. Then `retain_num` come from the retain pool without the forgotten subjects. Both are
    capped at what there is, with a warning. As many as are forgotten are kept apart as training facts, at most half of
    the pool: where what is left of it is not enough, the last of the watched ones are taken, with a warning, so that
    all methods watch the same facts. spare: further records, that only neighbours are taken from. Raises UserError for
    unlearn_num < 1, retain_num < 0 and no records.
    """
    if unlearn_num < 1:
        raise UserError(f"unlearn_num is {unlearn_num}; give at least 1 fact to forget")
    if retain_num < 0:
        raise UserError(f"retain_num is {retain_num}; give 0 or more facts to watch")
    retain_pool, forget_pool = pools(records)
    rng = random.Random(seed)
    forget = _sample_subjects(forget_pool, unlearn_num, rng)
    subjects = {record.subject for record in forget}
    others = [record for record in retain_pool if record.subject not in subjects]
    drawn = rng.sample(others, min(retain_num, len(others)))
    retain = drawn[: len(others) - _kept_apart(len(forget), len(others))]
    facts = {record.fact for record in forget}
    return Draw(
        forget=forget,
        retain=retain,
        same_subject=[record for record in records if record.subject in subjects and record.fact not in facts],
        training=_training(forget, retain, others, seed),
        neighbors=existing_subjects(forget, _scored(forget, retain), [*records, *spare], seed),
        warnings=[
            *_shortage("unlearn_num", unlearn_num, len(forget), "subjects in the forget pool"),
            *_shortage(
                "retain_num",
                retain_num,
                len(retain),
                "facts of other subjects in the retain pool, less those kept apart as training facts",
            ),
        ],
    )


def _kept_apart(forgotten: int, others: int) -> int:
    """How many facts of the retain pool are never watched, so that methods can train on them."""
    return min(forgotten, others // 2)


def _training(forget: list[Record], retain: list[Record], others: list[Record], seed: int) -> list[Record]:
    """As many facts as are forgotten, of those that are not scored; fewer where there are fewer.

    A drawn one that is scored after all, as a neighbour of a forgotten fact or under a second case id, is replaced by
    the first of the pool that is not, which leaves the others as they are.
    """
    watched = {id(record) for record in retain}
    scored = {record.bare for record in retain} | {probe.prompt for record in forget for probe in record.neighborhood}
    spare = [record for record in others if id(record) not in watched]
    drawn = random.Random(seed).sample(spare, min(len(forget), len(spare)))
    chosen = {id(record) for record in drawn}
    further = (record for record in spare if id(record) not in chosen and record.bare not in scored)
    replaced = (record if record.bare not in scored else next(further, None) for record in drawn)
    return [record for record in replaced if record is not None]


def _scored(forget: list[Record], retain: list[Record]) -> list[str]:
    """Texts about others than the forgotten subjects that scores are made of."""
    neighborhoods = [probe.prompt for record in forget for probe in record.neighborhood]
    levels = [probe.prompt for record in forget for probe in record.levels]
    return [*neighborhoods, *levels, *(record.bare for record in retain)]


def existing_subjects(
    forget: Sequence[Record], scored: Sequence[str], known: Sequence[Record], seed: int
) -> list[Request]:
    """Subjects out of `known` in each of the forgotten facts' prompt forms, at most NEIGHBORS in each.

    They are drawn by the seed, of the same relation, then of others. A subject is left out if it is forgotten, or if
    its name stands in any of the texts that are scored.
    """
    taken, text = {record.subject.casefold() for record in forget}, "\n".join(scored)
    shuffled = random.Random(f"neighbors {seed}").sample(known, len(known))
    others = {one.subject: one for one in shuffled if one.subject.casefold() not in taken}
    of_relation: dict[str, list[Record]] = {}
    for one in others.values():
        of_relation.setdefault(relation(one), []).append(one)
    named = cache(lambda subject: subject in text)  # a long text, and most subjects are candidates of many forms

    def nearest(own: str) -> Iterator[Record]:
        yield from of_relation.get(own, ())
        yield from (one for one in others.values() if relation(one) != own)

    return [
        replace(record.request(), subject=one.subject, target_true=one.target_true)
        for record in {(one.prompt, one.frame): one for one in forget}.values()
        for one in islice((one for one in nearest(relation(record)) if not named(one.subject)), NEIGHBORS)
    ]


def pools(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """(retain pool, forget pool): the halves of the file; the middle record of an odd number is in the second."""
    if not records:
        raise UserError("the data set has no usable record; nothing can be forgotten")
    half = len(records) // 2
    return list(records[:half]), list(records[half:])


def most_facts(records: Sequence[Record]) -> int:
    """How many facts can be forgotten at once: the subjects of the forget pool."""
    return len({record.subject for record in pools(records)[1]})


PARTS = ("all", "tuning", "table")
"""What ``--part`` may name."""


def part_of(records: Sequence[Record], part: str) -> list[Record]:
    """The facts for choosing settings (``tuning``, about a quarter), those for reporting (``table``), or ``all``.

    A subject belongs to one part, in every data set and for every seed: a hash of its name decides. So settings that
    were chosen on one part have forgotten and watched no subject of the other. Neighbouring prompts, which Spe asks,
    are those of the whole data set: one in four of a fact of the table is about a subject of the tuning part.
    """
    if part == "all":
        return list(records)
    return [record for record in records if (_quarter(record.subject) == 0) == (part == "tuning")]


def _quarter(subject: str) -> int:
    return hashlib.sha256(subject.encode()).digest()[0] % 4


def share_to_count(ratio: float, pool_size: int) -> int:
    """How many records a share of a pool is: rounded down, but at least one.

    Raises UserError unless 0 < ratio <= 1.
    """
    if not 0 < ratio <= 1:
        raise UserError(f"ratio is {ratio}; give a share of the forget pool, above 0 and at most 1")
    return max(1, int(ratio * pool_size))


def _sample_subjects(pool: list[Record], count: int, rng: random.Random) -> list[Record]:
    """Up to `count` records of different subjects.

    Where no subject repeats, this is exactly `rng.sample(pool, count)`.
    """
    first = rng.sample(range(len(pool)), min(count, len(pool)))
    chosen: dict[str, Record] = {}
    for i in first:
        chosen.setdefault(pool[i].subject, pool[i])
    if len(chosen) < len(first):
        drawn = set(first)
        rest = [record for i, record in enumerate(pool) if i not in drawn and record.subject not in chosen]
        for record in rng.sample(rest, len(rest)):
            if len(chosen) == count:
                break
            chosen.setdefault(record.subject, record)
    return list(chosen.values())


def _shortage(name: str, asked: int, found: int, what: str) -> list[str]:
    if found >= asked:
        return []
    return [f"{name} is {asked}, but there are only {found} {what}; {found} are taken"]
