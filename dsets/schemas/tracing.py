"""CounterFact as rewritten for causal tracing: `NeelNanda/counterfact-tracing` on the Hugging Face hub."""

from dsets.format import Format, template
from dsets.raw_rows import Collected, RawRow
from dsets.record import Record


class CounterFactTracing(Format):
    """One fact a row: `relation` is the template, `prompt` the same with the subject filled in.

    Subjects and answers bring the space before them, which is no part of them here. What is to be forgotten is
    `target_true`; the alternative is `target_false`. Numbers are CounterFact's; there is neither Gen nor Spe, because
    the file has no paraphrase and no neighbour.
    """

    metric = "counterfact"
    description = "relation, relation_prefix, relation_suffix, prompt, subject, target_true, target_false"

    @staticmethod
    def recognises(value: dict) -> bool:
        return {"relation", "target_false"} <= value.keys()

    @classmethod
    def add(cls, row: RawRow, collected: Collected) -> None:
        with collected.counting(row.case_id):
            prompt, subject = template(row, "relation", row.filled("subject"))
            record = Record(
                case_id=row.case_id,
                prompt=prompt,
                subject=subject,
                target_true=row.filled("target_true"),
                target_new=row.text("target_false") or None,
                relation_id=row.text("relation_id", optional=True),
                object_id=row.text("target_true_id", optional=True),
            )
            collected.records.append(record)
            collected.note_gaps(record)
