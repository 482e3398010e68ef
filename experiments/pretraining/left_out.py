"""Which facts of the embedded world the records of a file are: those that an oracle is trained without."""

from collections.abc import Iterable, Sequence

from dsets import Record, world
from dsets.world.documents import ask
from util.errors import UserError


def left_out(records: Iterable[Record], known: world.World) -> tuple[world.Fact, ...]:
    """The facts that the records ask for, each once, in the records' order.

    Raises UserError for a record that asks for no fact of this world, or for several (subject and answer are those of
    two relations, and the prompt is a wording of neither).
    """
    facts: dict[str, list[world.Fact]] = {}
    for fact in known.facts:
        facts.setdefault(fact.subject, []).append(fact)
    found = [_fact(record, facts.get(record.subject, [])) for record in records]
    return tuple(dict.fromkeys(found))


def _fact(record: Record, about: Sequence[world.Fact]) -> world.Fact:
    said = [fact for fact in about if fact.object == record.target_true]
    asked = [fact for fact in said if fact.relation.name == record.relation_id or _worded(record, fact)]
    for facts in (said, asked):
        if len(facts) == 1:
            return facts[0]
    several = "several facts" if said else "no fact"
    raise UserError(
        f"--without: {record.text!r} with the answer {record.target_true!r} is {several} of the embedded world; "
        "give facts of its own data sets"
    )


def _worded(record: Record, fact: world.Fact) -> bool:
    """Whether the prompt is one of the relation's statements or questions."""
    questions = [ask(question, search) for question in fact.relation.questions for search in (False, True)]
    return record.prompt in (*fact.relation.templates, *questions)
