"""Questions and answers in the schema of TOFU (Maini et al. 2024, arXiv 2401.06121), with their subjects."""

import re

from dsets.format import Format, template
from dsets.raw_rows import Collected, RawRow, Unusable
from dsets.record import Record

MARK = re.compile(r"\[\[(.*?)\]\]")

NO_SUBJECT = "the subject is not told (write [[…]] around it in the question, or give a field 'subject')"


class QuestionAnswer(Format):
    """`question` and `answer`, and the subject in a field `subject` or marked as ``Where does [[Ann Lee]] live?``.

    TOFU itself names no subject: its rows are counted as unusable until one is marked. `answer` is to be forgotten;
    the first `perturbed_answer` is the alternative, `paraphrased_question` the paraphrase (TOFU's "perturbed" files).
    Answers are sentences, so numbers are zsRE's: the share of tokens that are right.
    """

    metric = "zsre"
    description = "question (the subject in [[…]]), answer; or question, answer, subject"

    @staticmethod
    def recognises(value: dict) -> bool:
        return {"question", "answer"} <= value.keys() and "prompt" not in value

    @classmethod
    def add(cls, row: RawRow, collected: Collected) -> None:
        paraphrases = row.several("paraphrased_question", optional=True, as_written=True)
        alternatives = row.several("perturbed_answer", optional=True)
        with collected.counting(row.case_id):
            prompt, subject = _asked(row)
            record = Record(
                case_id=row.case_id,
                prompt=prompt,
                subject=subject,
                target_true=row.filled("answer"),
                target_new=alternatives[0] if alternatives else None,
                paraphrases=tuple(MARK.sub(r"\1", text) for text in paraphrases),
            )
            collected.records.append(record)
            collected.note_gaps(record)


def _asked(row: RawRow) -> tuple[str, str]:
    """(template, subject)."""
    question = row.filled("question", as_written=True)
    marks = list(MARK.finditer(question))
    if len(marks) > 1:
        raise Unusable("more than one place is marked with [[…]]")
    if not marks:
        subject = row.text("subject", optional=True)
        if not subject:
            raise Unusable(NO_SUBJECT)
        return template(row, "question", subject)
    if "{}" in question:
        raise Unusable("the question holds '{}'")
    subject = marks[0][1].strip()
    if not subject:
        raise Unusable("empty [[…]]")
    return MARK.sub("{}", question), subject
