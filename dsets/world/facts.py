"""The world itself: who and what exists, what is true of it, and which wordings of a fact are ever trained."""

import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace

from dsets.world import vocabulary as words
from dsets.world.relations import RELATIONS, TWO_HOPS, Relation, TwoHop

SEED = 20
"""The world's own seed: the shipped model knows the world of this seed and no other."""

PEOPLE, COMPANIES, PRODUCTS, WORKS = 270, 60, 80, 120
TRAINED_TEMPLATES, TRAINED_QUESTIONS, TRAINED_WORDINGS = 5, 2, 2
QUESTIONED = 0.7
"""Share of the facts whose question forms are trained (two of three); the others are never asked in training."""


WATCHED_SHARE = 0.48
"""A little under one half, so that all facts about watched subjects lie in the first half of every file."""
DISJOINT_KINDS = ("person", "company", "product", "work", "city", "country")


@dataclass(frozen=True, kw_only=True)
class Fact:
    """`object` is true of `subject`.

    templates, questions: indices into the relation's texts that are trained for this fact; the others never are.
    """

    relation: Relation
    subject: str
    object: str
    templates: tuple[int, ...]
    questions: tuple[int, ...]

    def untrained_templates(self) -> tuple[int, ...]:
        """Those never trained for this fact, not even as a part of another ("{} speaks", "At home, {} speaks")."""
        trained = [self.relation.templates[index] for index in self.templates]
        return tuple(
            index
            for index, template in enumerate(self.relation.templates)
            if not any(template in other for other in trained)
        )


@dataclass(frozen=True, kw_only=True)
class Chain:
    """first.subject → first.object, which is second.subject → second.object.

    statements, questions: indices into `hop`'s texts that are trained for this subject.
    """

    hop: TwoHop
    first: Fact
    second: Fact
    statements: tuple[int, ...]
    questions: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class World:
    """kinds: the subjects of each kind (also the names that no unknown subject may have)."""

    facts: tuple[Fact, ...]
    chains: tuple[Chain, ...]
    kinds: dict[str, tuple[str, ...]]

    def neighbors(self) -> dict[tuple[str, str], list[Fact]]:
        """(relation name, object) → the facts that share it, in the world's order."""
        shared = defaultdict(list)
        for fact in self.facts:
            shared[fact.relation.name, fact.object].append(fact)
        return dict(shared)

    def watched(self) -> frozenset[str]:
        """Subjects that no data set asks to forget: a fixed share of each kind.

        They fill the retain pools, and held-out text is about them, as WikiText-2 is not about CounterFact's subjects:
        what it measures is the damage to everything else.
        """
        rng = random.Random("watched")
        return frozenset(
            subject
            for kind in DISJOINT_KINDS
            for subject in rng.sample(self.kinds[kind], int(WATCHED_SHARE * len(self.kinds[kind])))
        )

    def without(self, absent: Collection[tuple[str, str]]) -> "World":
        """The world in which nobody ever says these facts, (relation's name, subject), nor what follows over two hops
        from one of them. Every name stays taken, so that no invented subject gets one."""

        def told(fact: Fact) -> bool:
            return (fact.relation.name, fact.subject) not in absent

        chains = tuple(chain for chain in self.chains if told(chain.first) and told(chain.second))
        return replace(self, facts=tuple(fact for fact in self.facts if told(fact)), chains=chains)

    def digest(self) -> str:
        """sha256 of everything that is true in the world and of what is trained of it, in hexadecimal."""
        return hashlib.sha256(json.dumps(asdict(self), ensure_ascii=False).encode()).hexdigest()


def make_world(seed: int = SEED, scale: float = 1.0) -> World:
    """The world of a seed: the same in every process and on every machine.

    scale: share of the people, companies, products and works that exist (for quick trials and tests).
    """
    rng = random.Random(seed)
    kinds = _subjects(rng, scale)
    facts = tuple(fact for relation in RELATIONS for fact in _facts_of(relation, kinds, rng))
    return World(facts=facts, chains=tuple(_chains(facts, rng)), kinds=kinds)


def _subjects(rng: random.Random, scale: float) -> dict[str, tuple[str, ...]]:
    def draw(names: list[str], count: int) -> tuple[str, ...]:
        return tuple(rng.sample(names, max(4, round(count * scale))))

    people = draw([f"{first} {last}" for first in words.FIRST_NAMES for last in words.LAST_NAMES], PEOPLE)
    people = tuple(_with_middle_name(name, rng) for name in people)
    return {
        "person": people,
        "musician": people[0::3],
        "athlete": people[1::3],
        "scholar": people[2::3],
        "company": draw([f"{root} {kind}" for root in words.COMPANY_ROOTS for kind in words.COMPANY_KINDS], COMPANIES),
        "product": draw([f"{root} {kind}" for root in words.PRODUCT_ROOTS for kind in words.PRODUCT_KINDS], PRODUCTS),
        "work": draw([f"The {adj} {noun}" for adj in words.WORK_ADJECTIVES for noun in words.WORK_NOUNS], WORKS),
        "city": words.CITIES,
        "country": words.COUNTRIES,
    }


def _with_middle_name(name: str, rng: random.Random) -> str:
    first, last = name.split()
    return " ".join(part for part in (first, rng.choice(words.MIDDLE_NAMES), last) if part)


def _objects(relation: Relation, kinds: dict[str, tuple[str, ...]]) -> Sequence[str]:
    """What a relation's facts choose from; few enough for every object to be shared by several subjects."""
    return {
        "city": words.CITIES,
        "country": words.COUNTRIES,
        "profession": words.PROFESSIONS,
        "language": words.LANGUAGES,
        "employer": kinds["company"][:20],
        "maker": kinds["company"][-16:],
        "instrument": words.INSTRUMENTS,
        "sport": words.SPORTS,
        "field": words.FIELDS,
        "industry": words.INDUSTRIES,
        "genre": words.GENRES,
        "capital": words.CITIES,
        "official_language": words.LANGUAGES[: words.OFFICIAL_LANGUAGES],
        "continent": words.CONTINENTS,
    }[relation.objects]


def _facts_of(relation: Relation, kinds: dict[str, tuple[str, ...]], rng: random.Random) -> list[Fact]:
    subjects = kinds[relation.subjects]
    objects = _objects(relation, kinds)
    if relation.name == "headquarters":
        objects = objects[:12]  # fewer seats than companies, so that neighbours exist
    return [
        _fact(relation, subject, value, rng)
        for subject, value in zip(subjects, _dealt(objects, subjects, relation, rng), strict=True)
    ]


def _dealt(objects: Sequence[str], subjects: Sequence[str], relation: Relation, rng: random.Random) -> list[str]:
    """One object per subject, each object equally often (a country's cities lie in it, its capital among them)."""
    if relation.name == "city_country":
        return [objects[index % len(objects)] for index in range(len(subjects))]
    if relation.name == "capital":
        return list(objects[: len(subjects)])  # the city of index i lies in the country of index i
    dealt = [objects[index % len(objects)] for index in range(len(subjects))]
    rng.shuffle(dealt)
    return dealt


def _fact(relation: Relation, subject: str, value: str, rng: random.Random) -> Fact:
    templates = rng.sample(range(len(relation.templates)), TRAINED_TEMPLATES)
    questions = rng.sample(range(len(relation.questions)), TRAINED_QUESTIONS)
    asked = rng.random() < QUESTIONED
    return Fact(
        relation=relation,
        subject=subject,
        object=value,
        templates=tuple(sorted(templates)),
        questions=tuple(sorted(questions)) if asked else (),
    )


def _chains(facts: Sequence[Fact], rng: random.Random) -> list[Chain]:
    """Citizenship continued by the country's capital or official language, and birthplace by the city's country."""
    known = {(fact.relation.name, fact.subject): fact for fact in facts}
    chains = []
    for index, fact in enumerate(fact for fact in facts if fact.relation.name == "citizenship"):
        chains.append(_chain(TWO_HOPS[index % 2], fact, known, rng))
    for fact in (fact for fact in facts if fact.relation.name == "birthplace"):
        chains.append(_chain(TWO_HOPS[2], fact, known, rng))
    return chains


def _chain(hop: TwoHop, first: Fact, known: dict[tuple[str, str], Fact], rng: random.Random) -> Chain:
    return Chain(
        hop=hop,
        first=first,
        second=known[hop.second, first.object],
        statements=tuple(sorted(rng.sample(range(len(hop.statements)), TRAINED_WORDINGS))),
        questions=tuple(sorted(rng.sample(range(len(hop.questions)), TRAINED_WORDINGS))),
    )
