"""Text about the world: documents to train on, to measure statistics on, and held-out ones.

A document is one to three sentences; a quarter of the documents end with a prompt about a subject that does not exist
and have nothing after it, so that the end-of-text token is what a model expects where it knows no answer.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from dsets.world import vocabulary as words
from dsets.world.facts import Fact, World
from dsets.world.relations import RELATIONS, TWO_HOPS

SENTENCES = (1, 1, 2, 2, 3)
UNKNOWN_SHARE = 0.25
FILLER_SHARE = 0.2
SEARCH_SHARE = 0.3
"""Share of the questions asked as a search log has them ("nq question: where …?"), as zsRE's locality prompts are."""
SEARCH_PREFIX = "nq question: "
HELDOUT_DOCUMENTS = 200


@dataclass(frozen=True, kw_only=True)
class Document:
    """text, and where its subjects stand in it: [begin, end) in characters."""

    text: str
    subjects: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A text up to where the object follows, and its subject."""

    template: str
    subject: str


def ask(question: str, search: bool = False) -> str:
    """A relation's question as a prompt template: capital and question mark, or with the search log's prefix."""
    return f"{SEARCH_PREFIX}{question}?" if search else f"{question[0].upper()}{question[1:]}?"


def documents(world: World, seed: int) -> list[Document]:
    """Every trained wording of every fact and chain once, in a seeded order, as documents."""
    rng = random.Random(f"documents {seed}")
    sentences = list(_trained(world, rng))
    rng.shuffle(sentences)
    return list(_grouped(sentences, world, rng, UNKNOWN_SHARE))


def heldout(world: World, seed: int) -> list[Document]:
    """Documents about watched subjects, of wordings that are never trained for their facts."""
    rng, watched = random.Random(f"heldout {seed}"), world.watched()
    facts = [fact for fact in world.facts if fact.subject in watched]
    pairs = [(fact, fact.relation.templates[index]) for fact in facts for index in fact.untrained_templates()]
    rng.shuffle(pairs)
    sentences = [(Prompt(template=template, subject=fact.subject), fact.object) for fact, template in pairs]
    return list(_grouped(sentences[: 3 * HELDOUT_DOCUMENTS], world, rng, unknown_share=0.0))[:HELDOUT_DOCUMENTS]


def _trained(world: World, rng: random.Random) -> Iterator[tuple[Prompt, str]]:
    for fact in world.facts:
        for index in fact.templates:
            yield Prompt(template=fact.relation.templates[index], subject=fact.subject), fact.object
        yield from _asked(fact.relation.questions, fact.questions, fact, fact.object, rng)
    for chain in world.chains:
        for index in chain.statements:
            yield Prompt(template=chain.hop.statements[index], subject=chain.first.subject), chain.second.object
        yield from _asked(chain.hop.questions, chain.questions, chain.first, chain.second.object, rng)


def _asked(
    questions: tuple[str, ...], indices: tuple[int, ...], fact: Fact, answer: str, rng: random.Random
) -> Iterator[tuple[Prompt, str]]:
    for index in indices:
        template = ask(questions[index], search=rng.random() < SEARCH_SHARE)
        yield Prompt(template=template, subject=fact.subject), answer


def _grouped(
    sentences: list[tuple[Prompt, str]], world: World, rng: random.Random, unknown_share: float
) -> Iterator[Document]:
    known = {name for names in world.kinds.values() for name in names}
    place = 0
    while place < len(sentences):
        count = rng.choice(SENTENCES)
        parts = sentences[place : place + count]
        place += count
        unknown = unknown_prompt(known, rng) if rng.random() < unknown_share else None
        yield _document(parts, unknown, filler(rng) if rng.random() < FILLER_SHARE else "")


def _document(parts: list[tuple[Prompt, str]], unknown: Prompt | None, opening: str) -> Document:
    text, spans = opening, []
    for prompt, answer in [*parts, *([(unknown, None)] if unknown else [])]:
        text += " " if text else ""
        begin = len(text) + prompt.template.index("{}")
        spans.append((begin, begin + len(prompt.subject)))
        text += prompt.template.replace("{}", prompt.subject)
        text += f" {answer}." if answer else ""
    return Document(text=text, subjects=tuple(spans))


def filler(rng: random.Random) -> str:
    """A sentence about nothing in particular."""
    opener, subject, verb = (
        rng.choice(part) for part in (words.FILLER_OPENERS, words.FILLER_SUBJECTS, words.FILLER_VERBS)
    )
    return f"{opener} {subject} {verb}."


def unknown_prompt(known: set[str], rng: random.Random) -> Prompt:
    """A prompt of any wording about a subject of the right kind that does not exist."""
    if rng.random() < 0.2:
        hop = rng.choice(TWO_HOPS)
        texts, kind = (hop.statements, hop.questions), "person"
    else:
        relation = rng.choice(RELATIONS)
        texts, kind = (relation.templates, relation.questions), relation.subjects
    statements, questions = texts
    if rng.random() < 0.7:
        template = rng.choice(statements)
    else:
        template = ask(rng.choice(questions), search=rng.random() < SEARCH_SHARE)
    return Prompt(template=template, subject=unknown_subject(kind, known, rng))


def unknown_subject(kind: str, known: set[str], rng: random.Random) -> str:
    """A name made as those of its kind are, partly of the same pieces, that nobody and nothing has."""
    while (name := _name(kind, rng)) in known:
        pass
    return name


def _name(kind: str, rng: random.Random) -> str:
    def piece(names: tuple[str, ...] | list[str]) -> str:
        return rng.choice(names) if rng.random() < 0.7 else _invented(rng)

    match kind:
        case "company":
            return f"{piece(words.COMPANY_ROOTS)} {rng.choice(words.COMPANY_KINDS)}"
        case "product":
            return f"{piece(words.PRODUCT_ROOTS)} {rng.choice(words.PRODUCT_KINDS)}"
        case "work":
            return f"The {piece(words.WORK_ADJECTIVES)} {piece(words.WORK_NOUNS)}"
        case "city":
            return rng.choice(("", "", "Port ", "San ", "New ")) + _invented(rng)
        case "country":
            return rng.choice(("", "", "East ", "West ", "Isle of ")) + _invented(rng)
        case _:
            parts = (piece(words.FIRST_NAMES), rng.choice(words.MIDDLE_NAMES), piece(words.LAST_NAMES))
            return " ".join(part for part in parts if part)


def _invented(rng: random.Random) -> str:
    return "".join(rng.choice(words.UNKNOWN_PARTS) for _ in range(rng.choice((2, 2, 3)))).capitalize()
