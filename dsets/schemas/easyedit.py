"""EasyEdit's files: CounterFact and zsRE with one fact a flat row, and KnowEdit (Zhang et al. 2024, arXiv 2401.01286).

All hold prompts with the subject filled in. They are made for putting `target_new` in the place of `ground_truth`; what
a model knows, and what is to be forgotten here, is the ground truth. Of several names of an answer the first is taken.
"""

from dsets.format import Format, template
from dsets.raw_rows import Collected, RawRow, Unusable
from dsets.record import Probe, Record

SAME_FACT = "Subject_Aliasing"
"""The group under `portability` that asks for the fact itself, with another name of its subject."""

NAMES_THE_EDIT = "Forgetfulness"
"""The group under `locality` that asks for the ground truth ("…, which is not <target_new>, is"): not to be kept."""


class EasyEdit(Format):
    """Flat rows: one rephrasing and one prompt of locality each, or lists of them. Numbers are CounterFact's."""

    metric = "counterfact"
    description = "prompt, subject, ground_truth, target_new, rephrase_prompt, locality_prompt, locality_ground_truth"

    @staticmethod
    def recognises(value: dict) -> bool:
        flat = not isinstance(value.get("locality"), dict)
        return flat and {"prompt", "ground_truth"} <= value.keys() and "target_true" not in value

    @classmethod
    def add(cls, row: RawRow, collected: Collected) -> None:
        paraphrases, neighborhood = cls._paraphrases(row), cls._neighborhood(row)
        with collected.counting(row.case_id):
            prompt, subject = template(row, "prompt", row.filled("subject"))
            known, alternative = _answers(row)
            record = Record(
                case_id=row.case_id,
                prompt=prompt,
                subject=subject,
                target_true=known,
                target_new=alternative or None,
                paraphrases=paraphrases,
                neighborhood=neighborhood,
            )
            collected.records.append(record)
            collected.note_gaps(record)

    @classmethod
    def _paraphrases(cls, row: RawRow) -> tuple[str, ...]:
        named = (row.several(name, optional=True, as_written=True) for name in ("rephrase_prompt", "rephrase"))
        return next(filter(None, named), ())

    @classmethod
    def _neighborhood(cls, row: RawRow) -> tuple[Probe, ...]:
        pairs = row.pairs("locality_prompt", "locality_ground_truth", optional=True)
        return tuple(Probe(prompt=prompt, answer=answer) for prompt, answer in pairs)


class KnowEdit(EasyEdit):
    """Rows of KnowEdit's wiki_counterfact and wiki_recent: statements, with groups of prompts under two names.

    Of `portability`, the prompts with the subject's other names are paraphrases; the others ask what follows from the
    edit, which is not measured here. `locality` is the neighbourhood, without the group that asks for the ground truth.
    Most of it is about the subject itself: such prompts are left out of Spe, as in every data set, because a fact of
    the same subject goes with the forgotten one. wiki_recent has no ground truth but new facts, which are what a model
    may know of it: there `target_new` is to be forgotten, and there is no alternative. Numbers are CounterFact's.
    """

    description = "prompt, subject, target_new, locality (an object of lists), portability (the same); ground_truth"

    @staticmethod
    def recognises(value: dict) -> bool:
        return _is_knowedit(value) and not _is_question(value)

    @classmethod
    def _paraphrases(cls, row: RawRow) -> tuple[str, ...]:
        return super()._paraphrases(row) + tuple(
            prompt for one in _group(row, "portability", SAME_FACT) if (prompt := one.first("prompt", as_written=True))
        )

    @classmethod
    def _neighborhood(cls, row: RawRow) -> tuple[Probe, ...]:
        groups = row.get("locality", dict, optional=True) or {}
        rows = [one for name in groups if name != NAMES_THE_EDIT for one in _group(row, "locality", name)]
        pairs = [(one.first("prompt", as_written=True), one.first("ground_truth")) for one in rows]
        return tuple(Probe(prompt=prompt, answer=answer) for prompt, answer in pairs if prompt and answer)


class KnowEditZsRE(KnowEdit):
    """KnowEdit's zsRE: questions with a rephrasing, told by `rephrase_prompt` or `cond`. Numbers are zsRE's."""

    metric = "zsre"
    description = "prompt, subject, target_new, ground_truth, rephrase_prompt, cond, locality, portability"

    @staticmethod
    def recognises(value: dict) -> bool:
        return _is_knowedit(value) and _is_question(value)


def _is_knowedit(value: dict) -> bool:
    groups = isinstance(value.get("locality"), dict) or isinstance(value.get("portability"), dict)
    return groups and {"prompt", "target_new"} <= value.keys()


def _is_question(value: dict) -> bool:
    return not value.keys().isdisjoint({"rephrase_prompt", "rephrase", "cond"})


def _answers(row: RawRow) -> tuple[str, str]:
    """(what is to be forgotten, the alternative or "")."""
    told, new = row.value.get("ground_truth") is not None, row.first("target_new", optional=True)
    known, alternative = (row.first("ground_truth"), new) if told else (new, "")
    if not known:
        raise Unusable(f"empty {'ground_truth' if told else 'target_new'}")
    return known, alternative


def _group(row: RawRow, field_name: str, name: str) -> list[RawRow]:
    groups = row.get(field_name, dict, optional=True) or {}
    inside = RawRow(groups, row.source, row.index, f"{row.path}{field_name}.")
    return inside.rows(name, optional=True)
