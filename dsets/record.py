"""What every data set becomes, whatever file it came from."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from util.request import NEUTRAL, Frame, Request


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A prompt and the answer that should still follow it after other facts are forgotten."""

    prompt: str
    answer: str


LEVELS = ("level_1", "level_2", "level_3", "neighbor_1", "neighbor_2")
"""Names of RWKU's levels: blank to fill, question, adversarial attack; the first two about a neighbour to be kept."""


@dataclass(frozen=True, kw_only=True)
class LevelProbe:
    """A prompt whose answer is generated: what a person's level or a neighbour's level is measured by (RWKU).

    level: one of LEVELS. prompt: asked as it is. answer: the reference, with at least one letter or digit.
    kind: what the source calls the probe ("cloze", an attack's name); "" where it says nothing.
    """

    level: str
    prompt: str
    answer: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class MultiHop:
    """The multi-hop case that a fact belongs to.

    questions: paraphrases of one question. answers: the answer before any edit, first, then its aliases.
    """

    case_id: int | str
    questions: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One fact with everything that is measured about it.

    prompt: template with exactly one ``{}`` for the subject. Answers have no leading or trailing space.
    target_new: the data set's own alternative answer, used by the probability metrics only; None where there is none.
    neighborhood: prompts about other subjects. attribute_prompts: the same relation asked of subjects that `target_new`
    is true of. levels: probes of the subject and its neighbours, asked if the fact is forgotten. relation_id,
    object_id: the source's names (Wikidata) of the relation and the true object, "" where it has none. references:
    texts about other subjects with that object. answer_prefix: what stands between a prompt and its answer, where the
    source says it (else `util.writing.separator` decides). frame: what stands around every text that the model is
    asked; the texts here are without it. Raises UserError if the fact is no valid Request.
    """

    case_id: int | str
    prompt: str
    subject: str
    target_true: str
    target_new: str | None = None
    paraphrases: tuple[str, ...] = ()
    neighborhood: tuple[Probe, ...] = ()
    generation_prompts: tuple[str, ...] = ()
    attribute_prompts: tuple[str, ...] = ()
    multihop: MultiHop | None = None
    levels: tuple[LevelProbe, ...] = ()
    relation_id: str = ""
    object_id: str = ""
    references: tuple[str, ...] = ()
    answer_prefix: str | None = None
    frame: Frame = Frame()

    def __post_init__(self):
        self.request()

    @property
    def text(self) -> str:
        """The prompt with the subject filled in, in its frame."""
        return self.request().text

    @property
    def bare(self) -> str:
        """The same without a frame."""
        return self.prompt.replace("{}", self.subject)

    def question(self, prompt: str, answer: str) -> tuple[str, str, str | None]:
        """One of the record's texts as it is asked, its answer, and what stands between them, if said."""
        return self.frame.around(prompt), answer, self.answer_prefix

    @property
    def own_question(self) -> tuple[str, str, str | None]:
        """The fact itself."""
        return self.text, self.target_true, self.answer_prefix

    @property
    def fact(self) -> tuple[str, str, str]:
        """What makes two records the same fact: prompt, subject and true answer."""
        return self.prompt, self.subject, self.target_true

    def request(self, neutral: str = NEUTRAL) -> Request:
        """The order to forget this fact, with `neutral` in the true answer's place."""
        return Request(
            prompt=self.prompt,
            subject=self.subject,
            target_true=self.target_true,
            target_new=neutral,
            case_id=self.case_id,
            answer_prefix=self.answer_prefix,
            frame=self.frame,
        )


def relation(record: Record) -> str:
    """What the source calls a record's relation; its prompt where it says nothing."""
    return record.relation_id or record.prompt


def answer_in_subject(record: Record) -> bool:
    """Whether the true answer stands in the subject's name, capitals aside: who reads the prompt can copy it."""
    return record.target_true.casefold() in record.subject.casefold()


def in_frame(record: Record, frame: Frame) -> Record:
    """The record with all its texts asked inside a frame. One that goes on after the text has said itself what stands
    before the answer, so that nothing else does."""
    return replace(record, frame=frame, answer_prefix="" if frame.after else record.answer_prefix)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Usable records in file order, and what is to be known about their source.

    spare: records of the source that are not drawn from (facts that a model does not know); their subjects exist all
    the same. metric: how Eff, Gen and Spe are defined on it ("counterfact", "zsre" or "mquake").
    path: the file or folder; None for a data set made in memory. size, digest: bytes of that file (or of the folder's
    files, or of the generated records as JSON) and their sha256. references: sha256 of the file that the records'
    reference texts are from; None without one. skipped: records that are left out, reason -> case
    ids. notes: records that are used although something about them is remarkable (a field without content, a repeated
    fact), remark -> case ids.
    """

    name: str
    metric: str
    records: list[Record]
    path: Path | None
    size: int
    digest: str
    references: str | None = None
    skipped: dict[str, list[int | str]] = field(default_factory=dict)
    notes: dict[str, list[int | str]] = field(default_factory=dict)
    spare: tuple[Record, ...] = ()
