"""A chat model's own form: what its template puts around what a user says, and before the answer."""

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from util.errors import UserError
from util.request import Frame

OPENING = "Complete the sentence."
"""What the user says where the assistant's turn begins with the prompt. The wording is ours."""

DATE = "26 Jul 2024"
"""The day that templates which tell one are given (Llama 3 gives it where the day cannot be had): today's would make
other prompts of the same facts tomorrow."""

NOT_FIT = "the tokenizer's chat template cannot be used"

SAID, ANSWERED = "Qvzuser", "Qvzassistant"
TRIED = 'Is "a" {b} <c>\n& ’d’ 東京 \\ e?'
"""What a template might change."""


class NoTemplate(UserError):
    """A tokenizer without a chat template that can be used. reason: why, without what to do about it."""

    def __init__(self, reason: str):
        super().__init__(f"{reason}; leave --chat_template out")
        self.reason = reason


def chat_frame(tokenizer: PreTrainedTokenizerBase, mode: str) -> Frame:
    """What the tokenizer's chat template puts around a prompt.

    mode: ``user``, the prompt is what the user says, and the answer is all that the assistant says. The frame is the
    template's text of such a conversation up to the answer: its prompt for generation, and what it puts between that
    and an answer, such as an empty block of thoughts. ``assistant``: the prompt begins what the assistant says, after
    OPENING. System prompts are the template's own.
    Raises NoTemplate for a tokenizer without a chat template, and for one that changes texts or drops them. White space
    at the ends of what a user says may be trimmed: the frame then does so too.
    """
    if mode not in ("user", "assistant"):
        raise ValueError(f"mode {mode!r}: 'user' or 'assistant'")
    if not tokenizer.chat_template:
        raise NoTemplate(f"tokenizer {tokenizer.name_or_path!r} has no chat template")
    if mode == "assistant":
        before, _ = _parts(_rendered(tokenizer, OPENING), ANSWERED)
        return _checked(Frame(before))
    before, rest = _parts(_rendered(tokenizer, SAID), SAID)
    after, _ = _parts(rest, ANSWERED)
    for frame in (Frame(before, after), Frame(before, after, trims=True)):
        if all(_rendered(tokenizer, text).startswith(frame.around(text)) for text in (TRIED, f"\n {TRIED} \n")):
            return _checked(frame)
    raise NoTemplate(f"{NOT_FIT}: it changes what the user says")


def _rendered(tokenizer: PreTrainedTokenizerBase, said: str) -> str:
    """The text of a conversation: the user says something, the assistant ANSWERED."""
    turns = [{"role": "user", "content": said}, {"role": "assistant", "content": ANSWERED}]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, date_string=DATE))
    except (TemplateError, ValueError) as error:
        raise NoTemplate(f"{NOT_FIT} ({str(error).splitlines()[0]})") from error


def _parts(text: str, marker: str) -> tuple[str, str]:
    """What stands before and after a text that stands there once."""
    if text.count(marker) != 1:
        raise NoTemplate(f"{NOT_FIT}: it gives a text {text.count(marker)} times, not once")
    before, after = text.split(marker)
    return before, after


def _checked(frame: Frame) -> Frame:
    if "{}" in frame.before + frame.after:
        raise NoTemplate(f"{NOT_FIT}: it has a '{{}}', which marks the subject's place")
    return frame
