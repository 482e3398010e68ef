"""The facts that causal tracing was published on (Meng et al. 2022): 1,209 that GPT-2 XL knows."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from dsets.by_relation.triples import after, another
from dsets.download import Upstream
from dsets.format import Format
from dsets.raw_rows import Collected, RawRow, Unusable
from dsets.record import Probe, Record
from dsets.schemas.counterfact import HOST


class Known1000(Format):
    """A template, its subject, the attribute that is the answer, and the prompt that GPT-2 XL was asked with.

    The prompt is the template with the subject, where need be with some words of the model's own behind it ("… plays in
    the position of a defensive"), and it is what the attribute follows. Neighbourhood prompts are those of other
    subjects with the same relation and attribute; the alternative is another attribute of the relation. Other fields,
    such as which models know a fact, are not used.
    """

    metric = "counterfact"
    upstream = Upstream(file_name="known_1000.json", base=HOST, count=1_209)
    description = "known_id, subject, attribute, template, prompt, relation_id"

    @staticmethod
    def recognises(value: dict) -> bool:
        return {"known_id", "attribute", "template"} <= value.keys()

    @classmethod
    def add(cls, row: RawRow, collected: Collected) -> None:
        case_id = row.get("known_id", int)
        with collected.counting(case_id):
            subject, answer = row.filled("subject"), row.filled("attribute")
            collected.records.append(
                Record(
                    case_id=case_id,
                    prompt=_prompt(row, subject),
                    subject=subject,
                    target_true=answer,
                    relation_id=row.text("relation_id", optional=True),
                )
            )

    @classmethod
    def collect(cls, rows: Iterable[RawRow]) -> Collected:
        """The rows' records, then what they tell about one another."""
        collected = super().collect(rows)
        same, answers = defaultdict(list), defaultdict(set)
        for record in collected.records:
            same[record.relation_id, record.target_true].append(record.text)
            answers[record.relation_id].add(record.target_true)
        collected.records = [
            replace(
                record,
                target_new=another(
                    sorted(answers[record.relation_id]), record.target_true, f"{record.relation_id} {record.subject}"
                ),
                neighborhood=tuple(
                    Probe(prompt=text, answer=record.target_true)
                    for text in after(same[record.relation_id, record.target_true], record.text)
                ),
            )
            for record in collected.records
        ]
        return collected


def _prompt(row: RawRow, subject: str) -> str:
    template, asked = row.filled("template"), row.filled("prompt")
    if template.count("{}") != 1:
        raise Unusable("the template has not one place for the subject")
    begin = template.replace("{}", subject)
    if not asked.startswith(begin):
        raise Unusable("the prompt does not begin with the template")
    return template + asked.removeprefix(begin)
