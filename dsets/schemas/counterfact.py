"""CounterFact and MultiCounterFact (Meng et al. 2022, "Locating and Editing Factual Associations in GPT")."""

from pathlib import Path
from typing import ClassVar

from dsets.download import Upstream
from dsets.format import Format, template
from dsets.raw_rows import Collected, RawRow
from dsets.record import Probe, Record

HOST = "https://rome.baulab.info/data/dsets/"


class CounterFact(Format):
    """Records of the published file as they are.

    A neighbourhood prompt is about another subject with the same true object, so its answer is the record's own. Files
    that known_facts.py writes may also have ``answer_prefix`` (see Record), which the published ones have not.
    """

    metric = "counterfact"
    upstream: ClassVar[Upstream | None] = Upstream(file_name="counterfact.json", base=HOST, count=21_919)
    description = "case_id, requested_rewrite (an object), paraphrase_prompts, neighborhood_prompts"

    @staticmethod
    def recognises(value: dict) -> bool:
        return isinstance(value.get("requested_rewrite"), dict)

    @classmethod
    def add(cls, row: RawRow, collected: Collected) -> None:
        case_id = row.get("case_id", int, str)
        paraphrases, neighbors = (
            row.texts(name, as_written=True) for name in ("paraphrase_prompts", "neighborhood_prompts")
        )
        target_new = row.text("requested_rewrite.target_new.str")
        with collected.counting(case_id):
            prompt, subject = template(row, "requested_rewrite.prompt", row.filled("requested_rewrite.subject"))
            answer = row.filled("requested_rewrite.target_true.str")
            record = Record(
                case_id=case_id,
                prompt=prompt,
                subject=subject,
                target_true=answer,
                target_new=target_new or None,
                paraphrases=paraphrases,
                neighborhood=tuple(Probe(prompt=prompt, answer=answer) for prompt in neighbors),
                generation_prompts=row.texts("generation_prompts", optional=True, as_written=True),
                attribute_prompts=row.texts("attribute_prompts", optional=True, as_written=True),
                relation_id=row.text("requested_rewrite.relation_id", optional=True),
                object_id=row.text("requested_rewrite.target_true.id", optional=True),
                answer_prefix=row.get("answer_prefix", str, optional=True),
            )
            collected.records.append(record)
            collected.note_gaps(record)


class RealFacts(CounterFact):
    """The same schema, in the file of real facts that lies in the repository (dsets/real)."""

    upstream = None
    shipped = Path(__file__).parent.parent / "real" / "facts.json"


class MultiCounterFact(CounterFact):
    """The same schema, in the file that the published experiments draw from."""

    upstream = Upstream(file_name="multi_counterfact.json", base=HOST, count=20_877)
