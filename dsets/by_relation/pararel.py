"""ParaRel (Elazar et al. 2021, "Measuring and Improving Consistency in Pretrained Language Models") over T-REx."""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from dsets.by_relation.collection import Collection
from dsets.by_relation.triples import Relation
from dsets.raw_rows import read_rows
from util.errors import UserError

PATTERNS, FACTS = "data/pattern_data/graphs_json", "data/trex_lms_vocab"
NAMES = (
    *("P1001", "P101", "P103", "P106", "P108", "P127", "P1303", "P131", "P136", "P1376", "P138", "P140", "P1412"),
    *("P159", "P17", "P176", "P178", "P19", "P190", "P20", "P264", "P27", "P276", "P279", "P30", "P36", "P361"),
    *("P364", "P37", "P39", "P407", "P413", "P449", "P463", "P47", "P495", "P530", "P740", "P937"),
)


class ParaRel(Collection):
    """Two files a relation: its patterns, of which those that end in the object are used, and T-REx's facts.

    A pattern has [X] for the subject and [Y] for the object. The facts are those whose object the language models of
    that paper have as one token of their vocabularies.
    """

    folder = "pararel"
    base = "https://raw.githubusercontent.com/yanaiela/pararel/main/"
    paths = tuple(f"{folder}/{name}.jsonl" for folder in (PATTERNS, FACTS) for name in NAMES)
    patterns = (f"{PATTERNS}/*.jsonl", f"{FACTS}/*.jsonl")

    @classmethod
    def check(cls, path: str, content: bytes) -> int:
        """Rows of one of the two kinds."""
        rows = read_rows(content, path, ".jsonl")
        for name in ("pattern",) if path.startswith(PATTERNS) else ("sub_label", "obj_label"):
            rows[0].text(name)
        return len(rows)

    @classmethod
    def relations(cls, content: dict[str, bytes]) -> Iterator[Relation]:
        """A relation per file of patterns. Raises UserError where its facts are missing."""
        for path in (path for path in content if path.startswith(PATTERNS)):
            name = PurePosixPath(path).stem
            facts = f"{FACTS}/{name}.jsonl"
            if facts not in content:
                raise UserError(f"{path} is there and {facts} is not; put it there too, or remove the patterns")
            rows = read_rows(content[path], path, ".jsonl")
            yield Relation(
                name=name,
                source=path,
                templates=object_last(row.text("pattern") for row in rows),
                pairs=tuple(
                    (row.text("sub_label"), row.text("obj_label")) for row in read_rows(content[facts], facts, ".jsonl")
                ),
            )


def object_last(patterns: Iterable[str]) -> tuple[str, ...]:
    """The templates of patterns that end in the object, each once, in order: ``[X] is in [Y] .`` → ``{} is in``."""
    found: dict[str, None] = {}
    for pattern in patterns:
        text = " ".join(pattern.split()).rstrip(" .")
        if text.endswith("[Y]") and text.count("[X]") == text.count("[Y]") == 1:
            found[text.removesuffix("[Y]").strip().replace("[X]", "{}")] = None
    return tuple(found)
