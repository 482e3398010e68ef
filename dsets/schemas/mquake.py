"""MQuAKE-CF and MQuAKE-T (Zhong et al. 2023, "MQuAKE: Assessing Knowledge Editing via Multi-Hop Questions")."""

from dsets.download import Upstream
from dsets.format import Format, template
from dsets.raw_rows import Collected, RawRow, Unusable
from dsets.record import MultiHop, Record

REPEATED = "fact of an earlier case, not listed again"


class MQuAKE(Format):
    """Every case's rewrites, flattened to one record per distinct (prompt, subject, true answer).

    A fact that several cases share belongs to the first of them. Its case id is "<case>-<place in the case>".
    """

    metric = "mquake"
    upstream = Upstream(
        file_name="MQuAKE-CF-3k-v2.json",
        base="https://raw.githubusercontent.com/princeton-nlp/MQuAKE/main/datasets/",
        count=3_000,
    )
    description = "case_id, requested_rewrite (a list), questions, answer"

    @staticmethod
    def recognises(value: dict) -> bool:
        return isinstance(value.get("requested_rewrite"), list)

    @classmethod
    def add(cls, row: RawRow, collected: Collected) -> None:
        rewrites, case_id = row.rows("requested_rewrite"), row.get("case_id", int, str)
        with collected.counting(case_id):
            case = _case(row, case_id)
            if not rewrites:
                raise Unusable("empty requested_rewrite")
            for place, rewrite in enumerate(rewrites):
                with collected.counting(f"{case_id}-{place}"):
                    cls._add_once(_record(rewrite, f"{case_id}-{place}", case), collected)

    @staticmethod
    def _add_once(record: Record, collected: Collected) -> None:
        if record.fact in collected.facts:
            collected.notes[REPEATED].append(record.case_id)
            return
        collected.facts.add(record.fact)
        collected.records.append(record)
        if record.target_new is None:
            collected.notes["no alternative answer"].append(record.case_id)


def _record(rewrite: RawRow, case_id: str, case: MultiHop) -> Record:
    prompt, subject = template(rewrite, "prompt", rewrite.filled("subject"))
    return Record(
        case_id=case_id,
        prompt=prompt,
        subject=subject,
        target_true=rewrite.filled("target_true.str"),
        target_new=rewrite.text("target_new.str", optional=True) or None,
        multihop=case,
    )


def _case(row: RawRow, case_id: int | str) -> MultiHop:
    questions, answers = row.texts("questions", as_written=True), _answers(row)
    for name, content in (("questions", questions), ("answer", answers)):
        if not content:
            raise Unusable(f"empty {name}")
    return MultiHop(case_id=case_id, questions=questions, answers=answers)


def _answers(row: RawRow) -> tuple[str, ...]:
    """The answer, then its aliases, each once."""
    listed = (row.text("answer"), *row.texts("answer_alias", optional=True))
    return tuple(dict.fromkeys(answer for answer in listed if answer))
