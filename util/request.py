"""One fact to forget."""

from dataclasses import dataclass

from util.errors import UserError

NEUTRAL = "<EOS>"
"""The neutral state's name: the tokenizer's own end-of-sequence token, one token, never its text spelt in pieces."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A fact (prompt template, subject, true object) and the text that is to take the object's place.

    prompt: template with exactly one ``{}`` where the subject stands, e.g. ``"The mother tongue of {} is"``.
    target_true, target_new: answers without a leading space; ``NEUTRAL`` stands for the end-of-sequence token.
    Raises UserError for a template without exactly one ``{}`` and for an empty subject or answer.
    """

    prompt: str
    subject: str
    target_true: str
    target_new: str = NEUTRAL
    case_id: int | str = 0

    def __post_init__(self):
        if self.prompt.count("{}") != 1:
            raise UserError(
                f"request {self.case_id}: prompt {self.prompt!r} has {self.prompt.count('{}')} places for the subject; "
                "write exactly one '{}' in it"
            )
        for field in ("subject", "target_true", "target_new"):
            if not getattr(self, field).strip():
                raise UserError(f"request {self.case_id}: {field} is empty; give a text")

    @property
    def text(self) -> str:
        """The prompt with the subject filled in."""
        return self.prompt.replace("{}", self.subject)
