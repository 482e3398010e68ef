"""zsRE (Levy et al. 2017) as question answering, in the evaluation split of MEND (Mitchell et al. 2022)."""

import re

from dsets.counterfact import HOST
from dsets.download import Upstream
from dsets.format import Format
from dsets.raw_rows import Collected, RawRow, Unusable
from dsets.record import Probe, Record


class ZsRE(Format):
    """Questions: `src` with the subject's place marked, `answers[0]` is the true answer, `alt` the alternative.

    The unrelated question `loc` gets its question mark back and is the neighbourhood. The published loader calls
    `answers[0]` the new target; here it is what is to be forgotten.
    """

    metric = "zsre"
    upstream = Upstream(file_name="zsre_mend_eval.json", base=HOST)
    description = "subject, src, rephrase, answers, alt, loc, loc_ans"

    @staticmethod
    def recognises(value: dict) -> bool:
        return "src" in value

    @classmethod
    def add(cls, row: RawRow, collected: Collected) -> None:
        answers = row.get("answers", list)
        if not all(isinstance(answer, str) for answer in answers):
            raise row.error("answers", "holds something else than strings; mend it")
        rephrase, alternative = row.text("rephrase"), row.text("alt")
        neighborhood = _locality(row)
        with collected.counting(row.index):
            subject = row.filled("subject")
            record = Record(
                case_id=row.index,
                prompt=_mark_subject(row.filled("src"), subject),
                subject=subject,
                target_true=_first(answers),
                target_new=alternative or None,
                paraphrases=(rephrase,) if rephrase else (),
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


def _locality(row: RawRow) -> tuple[Probe, ...]:
    question, answer = row.text("loc"), row.text("loc_ans")
    if not question or not answer:
        return ()
    return (Probe(prompt=question if question.endswith("?") else question + "?", answer=answer),)


def _mark_subject(question: str, subject: str) -> str:
    """The question with ``{}`` in the subject's place.

    Letters of the subject inside other words do not count if it also stands there as a word of its own. Raises
    Unusable where its place is not one place.
    """
    if "{}" in question:
        raise Unusable("the question holds '{}'")
    places = [match.span() for match in re.finditer(re.escape(subject), question)]
    if len(places) > 1:
        whole = [match.span() for match in re.finditer(rf"(?<!\w){re.escape(subject)}(?!\w)", question)]
        places = whole if len(whole) == 1 else places
    if not places:
        raise Unusable("the subject is not in the question")
    if len(places) > 1:
        raise Unusable("the subject stands more than once in the question")
    begin, end = places[0]
    return question[:begin] + "{}" + question[end:]
