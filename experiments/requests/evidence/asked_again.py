"""A fact asked in its prompt, in other words, as a question and in a chat: what is said, how likely the answer is."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Record
from experiments.auditing.attacks.asking import FORMS
from experiments.measuring.generation import generate_texts
from experiments.measuring.metrics import answers_question
from util.chat import chat_frame
from util.errors import UserError
from util.request import Frame
from util.standing import Asked, Standing, standings

PROMPT, PARAPHRASE, QUESTION, CHAT = WORDINGS = ("prompt", "paraphrase", "question", "chat")
MOST_PARAPHRASES = 4
ROOM = 8
"""Tokens that are written beyond the answer's own."""
LETTERS_A_TOKEN = 3
"""A token has about so many letters: decides how much is written, no score."""


@dataclass(frozen=True)
class Wording:
    """kind: one of WORDINGS. text: what the model is given. answer, prefix: as in `util.standing.Asked`."""

    kind: str
    text: str
    answer: str
    prefix: str | None

    @property
    def asked(self) -> Asked:
        """For `standings`."""
        return self.text, self.answer, self.prefix


@dataclass(frozen=True)
class Heard:
    """text: what the model writes by itself (greedy). standing: of the true answer."""

    text: str
    standing: Standing
    answer: str

    @property
    def told(self) -> bool:
        """Whether the answer came: it is what the model says, or what it writes names it."""
        return self.standing.said or answers_question(self.text, [self.answer])

    def row(self) -> dict[str, object]:
        """As in report.json."""
        found = self.standing
        return {"text": self.text, "probability": found.probability if found.finite else None, "rank": found.rank}


def chat_form(tokenizer: PreTrainedTokenizerBase) -> Frame | None:
    """The tokenizer's chat form, prompts as what the user says; None without a template that can be used."""
    try:
        return chat_frame(tokenizer, "user")
    except UserError:
        return None


def wordings(record: Record, chat: Frame | None) -> list[Wording]:
    """The fact's own prompt first, then its paraphrases (without any, quotations of the prompt), a question, a chat."""
    answer, prefix, text = record.target_true, record.answer_prefix, record.text
    others = record.paraphrases or tuple(f"{form} {text}" for form in FORMS)
    found = [Wording(PROMPT, text, answer, prefix)]
    found += [Wording(PARAPHRASE, other, answer, prefix) for other in others[:MOST_PARAPHRASES]]
    found.append(Wording(QUESTION, f"Question: {text} what?\nAnswer:", answer, None))
    if chat is not None:
        found.append(Wording(CHAT, chat.around(f"Complete the sentence: {text}"), answer, ""))
    return found


def hear(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[Sequence[Wording]],
    *,
    batch_tokens: int,
    progress: bool = False,
) -> list[list[Heard]]:
    """What the model as it is answers to every wording of every fact."""
    every = [wording for some in asked for wording in some]
    if not every:
        return [[] for _ in asked]
    found = standings(model, tokenizer, [wording.asked for wording in every], batch_tokens=batch_tokens)
    longest = max(len(wording.answer) for wording in every)
    texts = generate_texts(
        model,
        tokenizer,
        [wording.text for wording in every],
        max_new_tokens=ROOM + longest // LETTERS_A_TOKEN,
        batch_tokens=batch_tokens,
        progress=progress,
    )
    heard = iter(
        Heard(text.strip(), found[wording.asked], wording.answer) for wording, text in zip(every, texts, strict=True)
    )
    return [[next(heard) for _ in some] for some in asked]
