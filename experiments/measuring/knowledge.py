"""Which facts a model knows, and the same facts with neighbours that it knows too.

Levels: ``any`` takes every fact. ``prompt``: every token of the answer is the argmax after the prompt. ``strict``: also
after at least half of the paraphrases, and not after the same prompt with a subject that does not exist, or else the
answer is what the model says of the relation, and no knowledge of this subject; nor is an answer that stands in its
subject's name, which the model may have copied.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Probe, Record
from dsets.record import answer_in_subject, relation
from experiments.measuring.metrics import all_right
from experiments.measuring.scoring import Question, score
from util.errors import UserError
from util.invented import invented_names

KNOWLEDGE_VERSION = 2
"""Raise when the same model and facts would give another verdict: kept ones are then made anew."""

INVENTED = tuple(invented_names(5))
"""Subjects that do not exist."""
NEIGHBOURS = 10
"""Most neighbours of a fact that are looked for beside its own."""
ORDER_SEED = 0


Said = tuple[str, str]
"""A prompt and its answer, outside any chat template."""
Asked = tuple[Record, str, str]
"""The same with the record it is asked for."""


@dataclass(frozen=True)
class Verdict:
    """known: level → case ids, in file order. neighbours: (prompt, answer) of neighbourhood prompts that are right."""

    known: Mapping[str, Sequence[int | str]]
    neighbours: frozenset[Said]

    def to_json(self) -> dict[str, object]:
        """As kept on disk."""
        return {"known": dict(self.known), "neighbours": sorted(map(list, self.neighbours))}

    @classmethod
    def from_json(cls, value: dict) -> "Verdict":
        """What `to_json` gave."""
        return cls(value["known"], frozenset((prompt, answer) for prompt, answer in value["neighbours"]))


def judge(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[Record],
    level: str,
    *,
    batch_tokens: int,
    progress: bool = False,
) -> Verdict:
    """The facts of every level up to `level` ("prompt" or "strict").

    Only what is right at one level is asked about for the next, and nothing twice (a neighbour may be a fact itself),
    so that most facts cost one prompt. A fact without paraphrases passes that part of ``strict``.
    """
    told: dict[Question, bool] = {}

    def right(asked: Iterable[Asked], desc: str) -> set[Said]:
        questions: dict[Question, Said] = {
            record.question(prompt, answer): (prompt, answer) for record, prompt, answer in asked
        }
        new = [question for question in questions if question not in told]
        scores = score(model, tokenizer, new, batch_tokens=batch_tokens, progress=progress, desc=desc)
        told.update((question, bool(all_right(one.correct))) for question, one in scores.items())
        return {said for question, said in questions.items() if told[question]}

    said = right(((record, *_said(record)) for record in records), "facts the model knows")
    best = [record for record in records if _said(record) in said]
    known = {"prompt": [record.case_id for record in best]}
    if level == "strict":
        known["strict"] = [record.case_id for record in _strict(best, right)]
    probes = ((record, probe.prompt, probe.answer) for record in best for probe in record.neighborhood)
    return Verdict(known, frozenset(right(probes, "neighbours the model knows")))


def _said(record: Record) -> Said:
    return record.prompt.replace("{}", record.subject), record.target_true


def _strict(records: Sequence[Record], right) -> list[Record]:
    records = [one for one in records if not answer_in_subject(one)]
    invented = {
        (record.prompt, record.target_true): [
            (record, record.prompt.replace("{}", name), record.target_true) for name in INVENTED
        ]
        for record in records
    }
    usual = right((asked for some in invented.values() for asked in some), "subjects that do not exist")
    own = [one for one in records if not usual & {asked[1:] for asked in invented[one.prompt, one.target_true]}]
    said = right(
        ((one, text, one.target_true) for one in own for text in one.paraphrases), "paraphrases the model knows"
    )
    return [
        one
        for one in own
        if 2 * sum((text, one.target_true) in said for text in one.paraphrases) >= len(one.paraphrases)
    ]


def known_records(records: Sequence[Record], verdict: Verdict, level: str) -> list[Record]:
    """The records of that level, each with neighbours that are known as well, in an order drawn once and for all.

    Neighbours: the record's own that are right (and, where one is a record itself, of that level too), then known facts
    of other subjects with the same relation and object, up to NEIGHBOURS in all. The order is drawn anew, because that
    of a file may be one of fame, and its halves are what is forgotten and what is watched. Raises UserError where no
    fact is left.
    """
    wanted = set(verdict.known[level])
    chosen = [record for record in records if record.case_id in wanted]
    if not chosen:
        raise UserError(
            f"the model knows none of the {len(records)} facts at --known {level}; give --known any or other facts"
        )
    unknown = {_said(record) for record in records if record.case_id not in wanted}
    related = defaultdict(list)
    for record in chosen:
        related[_related(record)].append(record)
    filled = [replace(one, neighborhood=_neighbours(one, verdict, unknown, related[_related(one)])) for one in chosen]
    random.Random(ORDER_SEED).shuffle(filled)
    return filled


def _related(record: Record) -> tuple[str, str]:
    return relation(record), record.target_true


def _neighbours(record: Record, verdict: Verdict, unknown: set[Said], related: Sequence[Record]) -> tuple[Probe, ...]:
    own = ((probe.prompt, probe.answer) for probe in record.neighborhood)
    kept = [question for question in own if question in verdict.neighbours and question not in unknown]
    others = [_said(other) for other in related if other.subject != record.subject]
    random.Random(str(record.case_id)).shuffle(others)
    found = list(dict.fromkeys([*kept, *others]))[: max(NEIGHBOURS, len(kept))]
    return tuple(Probe(prompt=prompt, answer=answer) for prompt, answer in found)


def at_most_per_relation(records: Sequence[Record], limit: int) -> list[Record]:
    """The first `limit` records of each relation, in their order."""
    taken: Counter[str] = Counter()
    kept = []
    for record in records:
        taken[relation(record)] += 1
        if taken[relation(record)] <= limit:
            kept.append(record)
    return kept


def as_counterfact(record: Record) -> dict[str, object]:
    """The record in CounterFact's schema, where a neighbour's answer is the record's own: others are left out."""
    said = {} if record.answer_prefix is None else {"answer_prefix": record.answer_prefix}
    return {
        "case_id": record.case_id,
        "requested_rewrite": {
            "prompt": record.prompt,
            "relation_id": record.relation_id,
            "target_new": {"str": record.target_new or ""},
            "target_true": {"str": record.target_true, "id": record.object_id},
            "subject": record.subject,
        },
        "paraphrase_prompts": list(record.paraphrases),
        "neighborhood_prompts": [one.prompt for one in record.neighborhood if one.answer == record.target_true],
        "generation_prompts": list(record.generation_prompts),
        **said,
    }


def counts(records: Sequence[Record], verdict: Verdict) -> dict[str, dict[str, int]]:
    """Relation → level → how many facts, the relations with the most known facts first; "any" counts them all."""
    levels = {"any": [record.case_id for record in records], **verdict.known}
    members = {level: set(case_ids) for level, case_ids in levels.items()}
    found: dict[str, dict[str, int]] = {}
    for record in records:
        row = found.setdefault(relation(record), dict.fromkeys(levels, 0))
        for level, case_ids in members.items():
            row[level] += record.case_id in case_ids
    return dict(sorted(found.items(), key=lambda item: (-item[1][list(levels)[-1]], -item[1]["prompt"], item[0])))
