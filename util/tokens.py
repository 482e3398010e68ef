"""Text to token ids and positions. BOS, where an answer begins, and padding are handled here and nowhere else.

Shape letters: B rows of a batch, T token positions.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from util.errors import UserError
from util.request import NEUTRAL
from util.writing import given_and_asked

Offsets = list[tuple[int, int]]
"""First character of each token and the one after its last."""


@dataclass(frozen=True)
class Batch:
    """Rows of token ids padded to one length; all fields (B, T) int64 on one device.

    attention_mask is 1 on tokens and 0 on padding; position_ids count tokens from 0 and skip padding, so that a row
    gives the same result whichever side it is padded on.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on another device."""
        return Batch(self.input_ids.to(device), self.attention_mask.to(device), self.position_ids.to(device))


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text as the model expects it: BOS exactly once if this tokenizer adds one, never a final EOS.

    A text that already starts with the BOS token's own spelling does not get a second one.
    """
    return _encode_with_offsets(tokenizer, text)[0]


def adds_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer puts BOS before a text by itself."""
    return tokenizer.bos_token_id is not None and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id


def encode_all(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> list[list[int]]:
    """`encode` for many texts."""
    return [encode(tokenizer, text) for text in texts]


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Fingerprint of everything that decides which ids a text becomes, and which text ids become.

    sha256 over the backend's serialisation (vocabulary, merges, normaliser, BOS and EOS that are added) and the
    settings kept beside it. Padding and truncation are left out: they change with every call, and no ids hang on them.
    """
    probe = encode(tokenizer, "x")
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    settings = {
        "backend": {name: value for name, value in backend.items() if name not in ("padding", "truncation")},
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
        "split_special_tokens": getattr(tokenizer, "split_special_tokens", None),
        "clean_up_tokenization_spaces": getattr(tokenizer, "clean_up_tokenization_spaces", None),
        "probe": probe,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _encode_with_offsets(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], Offsets]:
    if not tokenizer.is_fast:
        raise UserError(
            f"tokenizer {tokenizer.name_or_path!r} has no character offsets; "
            "use a model whose folder has tokenizer.json"
        )
    encoded = tokenizer(text, add_special_tokens=True, return_offsets_mapping=True, verbose=False)
    ids, offsets = list(encoded["input_ids"]), [tuple(pair) for pair in encoded["offset_mapping"]]
    plain = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    if len(ids) > len(plain) and ids[-1] == tokenizer.eos_token_id and (not plain or plain[-1] != ids[-1]):
        ids, offsets = ids[:-1], offsets[:-1]
    if len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id:
        ids, offsets = ids[1:], offsets[1:]
    return ids, offsets


def target_ids(tokenizer: PreTrainedTokenizerBase, target: str) -> list[int]:
    """Token ids of an answer after a word, with the space before it (see `prompt_and_answer`)."""
    return prompt_and_answer(tokenizer, "x", target)[1]


def prompt_and_answer(
    tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str, prefix: str | None = None
) -> tuple[list[int], list[int]]:
    """Token ids of a prompt and of the answer that follows it (prefix: see `util.writing.given_and_asked`).

    The whole text is tokenised, as the model reads it anywhere else, and the answer begins at the first token that
    holds a character of what is asked for: its space, or letters of the prompt's end that the tokenizer joins with the
    answer's. NEUTRAL is the tokenizer's `eos_token_id` alone, after the prompt without plain spaces at its end. Raises
    UserError where one of the two has no token.
    """
    given, asked = given_and_asked(prompt, answer, prefix)
    return _Split.of(tokenizer, given, asked).parts(given, asked)


def subject_and_answer(
    tokenizer: PreTrainedTokenizerBase, template: str, subject: str, answer: str, prefix: str | None = None
) -> tuple[list[int], list[int], int, int]:
    """`prompt_and_answer` of a template with its subject, and the subject's first and last token (`subject_span`).

    Where the subject's last letters and the answer's first ones would be one token, each has its own.
    """
    text, begin, end = _subject_filled(template, subject)
    given, asked = given_and_asked(text, answer, prefix)
    split = _Split.of(tokenizer, given, asked)
    first, last = _covering(split.offsets, begin, end, text)
    if last >= split.at:
        split = _Split.apart(tokenizer, given, asked)
        first, last = _covering(split.offsets, begin, end, text)
    return *split.parts(given, asked), first, last


@dataclass(frozen=True)
class _Split:
    """ids: the tokens of what is given, up to number `at`, and of what is asked for. offsets: of all of them, or of the
    given ones alone."""

    ids: list[int]
    offsets: Offsets
    at: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, given: str, asked: str) -> "_Split":
        """Tokenised as one text, where that leaves tokens to what is given."""
        if asked.strip(" ") == NEUTRAL:
            return cls._joined(tokenizer, given, [_eos(tokenizer)])
        ids, offsets = _encode_with_offsets(tokenizer, given + asked)
        at = next((i for i, (_, end) in enumerate(offsets) if end > len(given)), len(ids))
        return cls(ids, offsets, at) if at else cls.apart(tokenizer, given, asked)

    @classmethod
    def apart(cls, tokenizer: PreTrainedTokenizerBase, given: str, asked: str) -> "_Split":
        """Each tokenised by itself; the second behind a line break, so that SentencePiece puts no space before it."""
        ids, offsets = _encode_with_offsets(tokenizer, "\n" + asked)
        return cls._joined(tokenizer, given, [token for token, (_, end) in zip(ids, offsets, strict=True) if end > 1])

    @classmethod
    def _joined(cls, tokenizer: PreTrainedTokenizerBase, given: str, answer_ids: list[int]) -> "_Split":
        ids, offsets = _encode_with_offsets(tokenizer, given)
        return cls(ids + answer_ids, offsets, len(ids))

    def parts(self, given: str, asked: str) -> tuple[list[int], list[int]]:
        """The tokens of both. Raises UserError, which names the texts, where one has none."""
        if not 0 < self.at < len(self.ids):
            raise UserError(f"prompt {given!r} or its answer {asked!r} has no token; give both a text")
        return self.ids[: self.at], self.ids[self.at :]


def _eos(tokenizer: PreTrainedTokenizerBase) -> int:
    if tokenizer.eos_token_id is None:
        raise UserError(f"tokenizer {tokenizer.name_or_path!r} has no EOS token; name another neutral target")
    return tokenizer.eos_token_id


def locate_subject(tokenizer: PreTrainedTokenizerBase, template: str, subject: str) -> tuple[list[int], int]:
    """Ids of the template with the subject filled in, and where the subject's last token is (see `subject_span`)."""
    ids, _, last = subject_span(tokenizer, template, subject)
    return ids, last


def subject_span(tokenizer: PreTrainedTokenizerBase, template: str, subject: str) -> tuple[list[int], int, int]:
    """Ids of the template with the subject filled in, and the indices of the subject's first and last token.

    The place is where the template's ``{}`` stands, even if the subject's letters occur elsewhere in the text. It is
    found by the fast tokenizer's character offsets: the last token that covers the subject's last character, and the
    first that covers any of its characters. A tokeniser may merge the subject's ends with what stands around it; such a
    token then counts as the subject's.
    """
    text, begin, end = _subject_filled(template, subject)
    ids, offsets = _encode_with_offsets(tokenizer, text)
    return ids, *_covering(offsets, begin, end, text)


def _subject_filled(template: str, subject: str) -> tuple[str, int, int]:
    """The text, the subject's first character in it and the one after its last, white space around it left out."""
    start = template.find("{}")
    if start < 0 or template.count("{}") != 1:
        raise UserError(f"template {template!r} needs exactly one '{{}}' for the subject")
    if not subject.strip():
        raise UserError(f"the subject for template {template!r} is empty; give a text")
    begin = start + len(subject) - len(subject.lstrip())
    return template.replace("{}", subject), begin, start + len(subject.rstrip())


def _covering(offsets: Offsets, begin: int, end: int, text: str) -> tuple[int, int]:
    """The first token that covers any character from `begin` on, and the last that covers the one before `end`."""
    inside = [i for i, (first, after) in enumerate(offsets) if first < end and after > begin]
    last = [i for i in inside if offsets[i][1] >= end]
    if not last:
        raise UserError(
            f"the tokenizer drops the end of subject {text[begin:end]!r} in {text!r}; its position is not defined"
        )
    return inside[0], last[-1]


def pad(rows: Sequence[Sequence[int]], pad_id: int = 0, side: str = "right", device=None) -> Batch:
    """Pad rows of ids to the longest. `pad_id` is never attended to, so any id of the vocabulary serves."""
    if side not in ("left", "right"):
        raise ValueError(f"side {side!r}: 'left' or 'right'")
    width = max(len(row) for row in rows)
    input_ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    attention_mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        columns = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        input_ids[i, columns] = torch.tensor(row, dtype=torch.long)
        attention_mask[i, columns] = 1
    position_ids = (attention_mask.cumsum(1) - 1).clamp(min=0)
    return Batch(input_ids, attention_mask, position_ids).to(device or "cpu")


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Group indices so that each padded batch (rows × longest row) stays within `batch_tokens`.

    Longest first, so that running out of memory shows at once; a row longer than the budget is a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    groups: list[list[int]] = []
    for i in order:
        if groups and lengths[groups[-1][0]] * (len(groups[-1]) + 1) <= batch_tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
