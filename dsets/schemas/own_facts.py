"""A user's own facts: JSON or JSON lines with prompt, subject and target_true."""

from dsets.format import Format, template
from dsets.raw_rows import Collected, RawRow
from dsets.record import LEVELS, LevelProbe, Probe, Record

OPTIONAL = ("case_id", "target_new", "paraphrases", "neighborhood", "generation_prompts", "levels", "answer_prefix")
KNOWN = {"prompt", "subject", "target_true", *OPTIONAL}


class Facts(Format):
    """``{"prompt": "The mother tongue of {} is", "subject": "Danielle Darrieux", "target_true": "French"}`` per fact.

    The subject may be filled in, once, in place of the ``{}``. Optional: case_id (else the record's index), target_new,
    paraphrases (full texts), neighborhood (full texts about other subjects with the same answer, or objects with prompt
    and answer), generation_prompts, levels (objects with level, prompt and answer; see LevelProbe), answer_prefix (what
    stands between every prompt and its answer, "" or a text; by default a rule decides, see `util.writing.separator`).
    Other fields are noted and ignored.
    """

    metric = "counterfact"
    description = "prompt, subject, target_true"

    @staticmethod
    def recognises(value: dict) -> bool:
        return "prompt" in value or {"subject", "target_true"} <= value.keys()

    @classmethod
    def add(cls, row: RawRow, collected: Collected) -> None:
        case_id = row.case_id
        for unknown in sorted(row.value.keys() - KNOWN):
            collected.notes[f"unknown field {unknown!r}, ignored"].append(case_id)
        with collected.counting(case_id):
            prompt, subject = template(row, "prompt", row.filled("subject"))
            answer = row.filled("target_true")
            collected.records.append(
                Record(
                    case_id=case_id,
                    prompt=prompt,
                    subject=subject,
                    target_true=answer,
                    target_new=row.text("target_new", optional=True) or None,
                    paraphrases=row.texts("paraphrases", optional=True, as_written=True),
                    neighborhood=_neighborhood(row, answer),
                    generation_prompts=row.texts("generation_prompts", optional=True, as_written=True),
                    levels=_levels(row),
                    answer_prefix=row.get("answer_prefix", str, optional=True),
                )
            )


def _neighborhood(row: RawRow, answer: str) -> tuple[Probe, ...]:
    listed = row.get("neighborhood", list, optional=True) or []
    if all(isinstance(entry, str) for entry in listed):
        texts = row.texts("neighborhood", optional=True, as_written=True)
        return tuple(Probe(prompt=prompt, answer=answer) for prompt in texts)
    probes = [(entry.text("prompt", as_written=True), entry.text("answer")) for entry in row.rows("neighborhood")]
    for i, (prompt, expected) in enumerate(probes):
        if not prompt or not expected:
            raise row.error(f"neighborhood[{i}]", "has an empty prompt or answer; fill both in")
    return tuple(Probe(prompt=prompt, answer=expected) for prompt, expected in probes)


def _levels(row: RawRow) -> tuple[LevelProbe, ...]:
    return tuple(_level(entry) for entry in row.rows("levels", optional=True))


def _level(entry: RawRow) -> LevelProbe:
    level, prompt, answer = entry.text("level"), entry.text("prompt", as_written=True), entry.text("answer")
    if level not in LEVELS:
        raise entry.error("level", f"is {level!r}; it must be one of {', '.join(LEVELS)}")
    for name, text in (("prompt", prompt), ("answer", answer)):
        if not any(map(str.isalnum, text)):
            raise entry.error(name, "has no letter or digit; fill it in")
    return LevelProbe(level=level, prompt=prompt, answer=answer, kind=entry.text("kind", optional=True))
