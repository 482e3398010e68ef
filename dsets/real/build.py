"""Builds facts.json, the shipped real facts, from the public collections; the same collections give the same file.

    python -m dsets.real.build COLLECTIONS

COLLECTIONS: a folder that holds pararel/ and relations/ as upstream lays them out, and known_1000.json. Their subject–
relation–object facts are taken over, none of their sentences (see NOTICE and wordings.json).
"""

import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from dsets.by_relation import Collection, ParaRel, Relations
from dsets.by_relation.triples import Relation, after, another
from dsets.real.wordings import Wording, read_struck, read_wordings, read_wrong

FACTS = Path(__file__).with_name("facts.json")
PER_RELATION, PER_OBJECT, FEWEST_PER_OBJECT = 90, 14, 3
"""Most facts of a relation, most of them with one object, and subjects that an object must have in the collections."""
NEIGHBOURS = 5
LONGEST = 50
"""Letters of a subject."""
MOST_MENTIONS = 6
ESCAPED = {"Brasília": r"Bras\u00edlia", "Bogotá": r"Bogot\u00e1"}
"""Names as a collection spells them: equals were put in order, and facts numbered, before escapes were read."""


@dataclass
class Gathered:
    """Pairs of one relation, each with the collections that have it."""

    sources: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, source: str, subject: str, answer: str) -> None:
        """A pair that a collection has."""
        self.sources[subject, answer].add(source)

    def single(self) -> Iterator[tuple[str, str]]:
        """The pairs whose subject has one object."""
        objects = defaultdict(set)
        for subject, answer in self.sources:
            objects[subject].add(answer)
        return ((subject, answer) for subject, answer in self.sources if len(objects[subject]) == 1)


class Rank:
    """How widely known a fact is: how many large models are on record as knowing it, how many collections have it, and
    how often they name its subject in other facts."""

    def __init__(self, folder: Path, relations: Iterable[Relation]):
        self.known = {
            (row["subject"], row["attribute"]): sum(value is True for value in row.values())
            for row in json.loads((folder / "known_1000.json").read_text(encoding="utf-8"))
        }
        self.mentions = Counter(name for relation in relations for pair in relation.pairs for name in pair)

    def key(self, pair: tuple[str, str], sources: set[str]) -> tuple[int, str]:
        """Smallest for the best known; equals in an order that hangs on nothing."""
        others = min(self.mentions[pair[0]] - len(sources), MOST_MENTIONS)
        points = self.known.get(pair, 0) + 2 * (len(sources) - 1) + others
        listed = "\0".join(ESCAPED.get(name, name) for name in pair)
        return -points, hashlib.sha256(listed.encode()).hexdigest()


def build(folder: Path) -> list[dict]:
    """The records: the best known fact of each relation, then the second best of each, and so on.

    What was struck after the facts had been numbered leaves a gap: the others keep number and order, and nothing that
    nobody has read comes in.
    """
    pararel, relations = _read(ParaRel, folder), _read(Relations, folder)
    rank = Rank(folder, [*pararel.values(), *relations.values()])
    countries = {answer for _, answer in pararel["P17"].pairs}
    chosen = []
    for wording in read_wordings():
        gathered = Gathered()
        listed = (("pararel", pararel, wording.pararel), ("relations", relations, wording.relations))
        for source, collection, names in listed:
            for subject, answer in (pair for name in names for pair in collection[name].pairs):
                gathered.add(source, subject, answer.lower() if wording.lower else answer)
        pairs = _chosen(wording, gathered, rank, countries if wording.cities else set())
        kept = _kept(wording, pairs)
        chosen.append([_record(wording, pair, pairs, kept) if pair in kept else {} for pair in pairs])
    mixed = (record for records in zip_longest(*chosen) for record in records if record is not None)
    return [{"case_id": case_id, **record} for case_id, record in enumerate(mixed) if record]


def _read(collection: type[Collection], folder: Path) -> dict[str, Relation]:
    content = collection.content(folder / collection.folder)
    return {relation.name: relation for relation in collection.relations(content)}


def _chosen(wording: Wording, gathered: Gathered, rank: Rank, unfit: set[str]) -> list[tuple[str, str]]:
    """Best known first, without what gives its answer away and, unless objects may stand alone, without lone ones."""
    wrong = read_wrong()
    usable = [pair for pair in gathered.single() if _usable(*pair) and (wording.name, *pair) not in wrong]
    usable = [pair for pair in usable if pair[1] not in unfit]
    subjects = Counter(answer for _, answer in usable)
    fewest = 1 if wording.single else FEWEST_PER_OBJECT
    usable = [pair for pair in usable if subjects[pair[1]] >= fewest]
    usable.sort(key=lambda pair: rank.key(pair, gathered.sources[pair]))
    taken: Counter[str] = Counter()
    chosen: list[tuple[str, str]] = []
    for pair in usable:
        if len(chosen) < PER_RELATION and taken[pair[1]] < PER_OBJECT:
            taken[pair[1]] += 1
            chosen.append(pair)
    return _accompanied(wording, chosen)


def _kept(wording: Wording, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that are not struck, nor left without a neighbour by it."""
    struck = read_struck()
    return _accompanied(wording, [pair for pair in pairs if (wording.name, *pair) not in struck])


def _accompanied(wording: Wording, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    count = Counter(answer for _, answer in pairs)
    return [pair for pair in pairs if wording.single or count[pair[1]] > 1]


def _usable(subject: str, answer: str) -> bool:
    names = subject.casefold(), answer.casefold()
    spelt = len(subject) <= LONGEST and subject[:1].isalnum() and not set('{}|()"\\') & set(subject + answer)
    return spelt and any(map(str.isalpha, subject)) and names[0] not in names[1] and names[1] not in names[0]


def _record(wording: Wording, pair: tuple[str, str], pairs: list[tuple[str, str]], kept: list[tuple[str, str]]) -> dict:
    """Of one that is kept among the pairs that were chosen."""
    subject, answer = pair
    article = "an" if answer[0].casefold() in "aeiou" else "a"
    prompt, *others = (template.replace("a(n)", article) for template in wording.templates)
    same = [other for other, its in kept if its == answer]
    return {
        "requested_rewrite": {
            "prompt": prompt,
            "relation_id": wording.name,
            "target_new": {"str": _alternative(wording, pair, pairs, kept)},
            "target_true": {"str": answer},
            "subject": subject,
        },
        "paraphrase_prompts": [template.replace("{}", subject) for template in others],
        "neighborhood_prompts": [prompt.replace("{}", other) for other in after(same, subject)[:NEIGHBOURS]],
    }


def _alternative(
    wording: Wording, pair: tuple[str, str], pairs: list[tuple[str, str]], kept: list[tuple[str, str]]
) -> str | None:
    """Another answer of the relation, drawn from all that were chosen; drawn anew where no fact with it is kept."""
    subject, answer = pair
    chosen, left = ({its for _, its in some} for some in (pairs, kept))
    draws = (another(sorted(answers), answer, f"{wording.name} {subject}") for answers in (chosen, left))
    return next((one for one in draws if one in left), None)


def written(records: list[dict]) -> str:
    """The file's text: a JSON list, a record a line."""
    lines = (json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in records)
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    FACTS.write_text(written(build(Path(sys.argv[1]))), encoding="utf-8")
