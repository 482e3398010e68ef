"""Facts that a model knows, as token ids, and the places of their tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Record
from experiments.measuring.scoring import score
from util.likelihood import Answered
from util.progress import progress_bar
from util.tokens import subject_and_answer

SUBJECT_LAST = "last subject token"
PLACES = (
    "first subject token",
    "middle subject tokens",
    SUBJECT_LAST,
    "first subsequent token",
    "further tokens",
    "last token",
)
"""Where a token can stand in a prompt (the paper's classes)."""


@dataclass(frozen=True)
class KnownFact:
    """row: the prompt and the answer's tokens whose probability is read. first, last: the subject's tokens."""

    case_id: int | str
    row: Answered
    first: int
    last: int

    def traced(self) -> range:
        """The positions where putting something back can have an effect."""
        return range(self.first, len(self.row.prompt))

    def place(self, position: int) -> str:
        """The place of a traced token. One that fits two is the subject's last, else the prompt's last, else the first
        of its part."""
        exact = {self.last + 1: 3, self.first: 0, len(self.row.prompt) - 1: 5, self.last: 2}
        return PLACES[exact.get(position, 1 if position < self.last else 4)]


TOKENS = {"all": KnownFact.traced, "subject_last": lambda fact: range(fact.last, fact.last + 1)}
"""As --tokens names them: fact → the positions where something is put back."""


def known_facts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[Record],
    limit: int,
    *,
    whole_answer: bool = False,
    batch_tokens: int,
    progress: bool = False,
) -> tuple[list[KnownFact], int]:
    """Up to `limit` facts whose answer is the model's argmax, and how many records were tried, in their order.

    whole_answer: all tokens of the answer must be right (and are read later), not the first alone.
    """
    found: list[KnownFact] = []
    tried = 0
    with progress_bar(total=len(records), desc="facts the model knows", progress=progress, leave=False) as bar:
        while len(found) < limit and tried < len(records):
            some = records[tried : tried + 2 * limit]
            scores = score(model, tokenizer, [one.own_question for one in some], batch_tokens=batch_tokens)
            for record in some:
                tried += 1
                correct = scores[record.own_question].correct
                if all(correct) if whole_answer else correct[0]:
                    found.append(as_fact(tokenizer, record, whole_answer))
                if len(found) == limit:
                    break
            bar.update(len(some))
    return found, tried


def as_fact(tokenizer: PreTrainedTokenizerBase, record: Record, whole_answer: bool = False) -> KnownFact:
    """Tokenise a record, with the answer's first token or all of them."""
    request = record.request()
    ids, answer, first, last = subject_and_answer(
        tokenizer, request.template, request.subject, request.target_true, request.answer_prefix
    )
    answer = answer if whole_answer else answer[:1]
    return KnownFact(record.case_id, Answered(tuple(ids), tuple(answer)), first, last)
