"""zsRE (Levy et al. 2017) as question answering, in the evaluation split of MEND (Mitchell et al. 2022)."""

from dsets.download import Upstream
from dsets.format import Format, marked
from dsets.raw_rows import Collected, RawRow, Unusable
from dsets.record import Probe, Record
from dsets.schemas.counterfact import HOST


class ZsRE(Format):
    """Questions: `src` with the subject's place marked, `answers[0]` is the true answer, `alt` the alternative.

    The unrelated question `loc` gets its question mark back and is the neighbourhood. The published loader calls
    `answers[0]` the new target; here it is what is to be forgotten. Several rephrasings, and several unrelated
    questions with as many answers, may stand in lists; `alt` may be missing.
    """

    metric = "zsre"
    upstream = Upstream(file_name="zsre_mend_eval.json", base=HOST)
    description = "subject, src, rephrase, answers, loc, loc_ans"

    @staticmethod
    def recognises(value: dict) -> bool:
        return "src" in value

    @classmethod
    def add(cls, row: RawRow, collected: Collected) -> None:
        answers = row.get("answers", list)
        if not all(isinstance(answer, str) for answer in answers):
            raise row.error("answers", "holds something else than strings; mend it")
        rephrases, alternative = row.several("rephrase", as_written=True), row.text("alt", optional=True)
        neighborhood = _locality(row)
        with collected.counting(row.index):
            prompt, subject = _question(row, row.filled("subject"))
            record = Record(
                case_id=row.index,
                prompt=prompt,
                subject=subject,
                target_true=_first(answers),
                target_new=alternative or None,
                paraphrases=rephrases,
                neighborhood=neighborhood,
            )
            collected.records.append(record)
            collected.note_gaps(record)


def _first(answers: list[str]) -> str:
    # The first one only: a blank one is not replaced by an alias, which the published numbers never score.
    first = answers[0].strip() if answers else ""
    if not first:
        raise Unusable("empty answers[0]")
    return first


def _question(row: RawRow, subject: str) -> tuple[str, str]:
    question = row.filled("src", as_written=True)
    if "{}" in question:
        raise Unusable("the question holds '{}'")
    return marked(question, subject, "question")


def _locality(row: RawRow) -> tuple[Probe, ...]:
    return tuple(
        Probe(prompt=question.rstrip().removesuffix("?") + "?", answer=answer)
        for question, answer in row.pairs("loc", "loc_ans")
    )
