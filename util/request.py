"""One fact to forget."""

from dataclasses import dataclass

from util.errors import UserError

NEUTRAL = "<EOS>"
"""The neutral state's name: the tokenizer's own end-of-sequence token, one token, never its text spelt in pieces."""


@dataclass(frozen=True)
class Frame:
    """What stands around every text that the model is given, such as a chat's headers; nothing by default.

    trims: the texts lose the white space at their ends (as in templates that trim what a user says).
    """

    before: str = ""
    after: str = ""
    trims: bool = False

    def around(self, text: str) -> str:
        """The text inside."""
        return self.before + (text.strip() if self.trims else text) + self.after


@dataclass(frozen=True, kw_only=True)
class Request:
    """A fact (prompt template, subject, true object) and the text that is to take the object's place.

    prompt: template with exactly one ``{}`` where the subject stands, e.g. ``"The mother tongue of {} is"``.
    target_true, target_new: answers without a leading space; ``NEUTRAL`` stands for the end-of-sequence token.
    answer_prefix: what stands between prompt and answer; None decides it by `util.writing.separator`.
    frame: what stands around the prompt; context templates are put inside it.
    Raises UserError for a template without exactly one ``{}``, for an empty subject or answer, and for white space
    around the subject, which would move its last token.
    """

    prompt: str
    subject: str
    target_true: str
    target_new: str = NEUTRAL
    case_id: int | str = 0
    answer_prefix: str | None = None
    frame: Frame = Frame()

    def __post_init__(self) -> None:
        if self.prompt.count("{}") != 1:
            raise UserError(
                f"request {self.case_id}: prompt {self.prompt!r} has {self.prompt.count('{}')} places for the subject; "
                "write exactly one '{}' in it"
            )
        for field in ("subject", "target_true", "target_new"):
            if not getattr(self, field).strip():
                raise UserError(f"request {self.case_id}: {field} is empty; give a text")
        if self.subject != self.subject.strip():
            raise UserError(f"request {self.case_id}: subject {self.subject!r} has white space around it; take it away")

    @property
    def template(self) -> str:
        """The text that the model is given, ``{}`` in the subject's place."""
        return self.frame.around(self.prompt)

    @property
    def text(self) -> str:
        """The same with the subject filled in."""
        return self.template.replace("{}", self.subject)
