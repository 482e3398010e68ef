"""Relations, each with its templates and pairs, → records."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dsets.raw_rows import Collected
from dsets.record import Probe, Record, answer_in_subject
from util.errors import UserError

NEIGHBOURS = 10
"""Most neighbourhood prompts of a record, as in CounterFact."""
ORDER_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Relation:
    """name: the source's. source: the file that it is read from. templates: each with one ``{}`` for the subject; the
    object follows the last word. pairs: (subject, object) in the source's order, all of them: a fact's case id is its
    relation's name and its place."""

    name: str
    source: str
    templates: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


def collect(relations: Iterable[Relation]) -> Collected:
    """The records of all relations, mixed: a file's halves are the pools that facts are drawn from.

    The first template is the prompt, the others make the paraphrases; neighbourhood prompts are the same template with
    other subjects of the same object. The alternative answer is another object of the relation, drawn with the
    subject's name. A subject with several objects is left out of its relation, for it has no true answer. Raises
    UserError for two relations of one name, whose facts would have the same case ids.
    """
    collected = Collected()
    sources: dict[str, str] = {}
    for relation in relations:
        if relation.name in sources:
            both = f"{sources[relation.name]} and {relation.source}"
            raise UserError(f"{both} are both of the relation {relation.name!r}; remove one, or rename it inside")
        sources[relation.name] = relation.source
        _take_in(relation, collected)
    random.Random(ORDER_SEED).shuffle(collected.records)
    return collected


def _take_in(relation: Relation, collected: Collected) -> None:
    """The relation's records, and what is left out of it."""

    def skip(reason: str, places: Iterable[int]) -> None:
        if named := [f"{relation.name}-{place}" for place in places]:
            collected.skipped[reason] += named

    filled = {place: pair for place, pair in enumerate(relation.pairs) if all(pair)}
    single, several = _single(filled)
    skip("the subject or the object is empty", (place for place in range(len(relation.pairs)) if place not in filled))
    skip("the subject has several objects", several)
    if not relation.templates:
        skip("no template of the relation can be used", single)
        return
    for record in _records(relation, single):
        collected.records.append(record)
        collected.note_gaps(record)
        if answer_in_subject(record):
            collected.notes["the answer stands in the subject"].append(record.case_id)


def _single(pairs: dict[int, tuple[str, str]]) -> tuple[dict[int, tuple[str, str]], list[int]]:
    """Place → pair of each subject's first mention, of subjects with one object; and the others' first places."""
    objects: dict[str, set[str]] = defaultdict(set)
    first: dict[str, int] = {}
    for place, (subject, answer) in pairs.items():
        objects[subject].add(answer)
        first.setdefault(subject, place)
    several = [place for subject, place in first.items() if len(objects[subject]) > 1]
    return {place: pairs[place] for subject, place in first.items() if len(objects[subject]) == 1}, several


def _records(relation: Relation, pairs: dict[int, tuple[str, str]]) -> Iterator[Record]:
    prompt, *others = relation.templates
    subjects = defaultdict(list)
    for subject, answer in pairs.values():
        subjects[answer].append(subject)
    answers = sorted(subjects)
    for place, (subject, answer) in pairs.items():
        yield Record(
            case_id=f"{relation.name}-{place}",
            prompt=prompt,
            subject=subject,
            target_true=answer,
            target_new=another(answers, answer, f"{relation.name} {subject}"),
            paraphrases=tuple(template.replace("{}", subject) for template in others),
            neighborhood=tuple(
                Probe(prompt=prompt.replace("{}", other), answer=answer) for other in after(subjects[answer], subject)
            ),
            relation_id=relation.name,
        )


def another(answers: Sequence[str], answer: str, name: str) -> str | None:
    """One of the other answers, drawn with a name as the seed; None where there is no other."""
    others = [one for one in answers if one != answer]
    return random.Random(name).choice(others) if others else None


def after(subjects: Sequence[str], subject: str) -> list[str]:
    """Up to NEIGHBOURS other subjects: those that follow in the list, which is taken for a ring."""
    place = subjects.index(subject)
    ring = [*subjects[place + 1 :], *subjects[:place]]
    return [other for other in dict.fromkeys(ring) if other != subject][:NEIGHBOURS]
