"""Text to token ids and positions. BOS, leading spaces and padding are handled here and nowhere else.

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


def _encode_with_offsets(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[tuple[int, int]]]:
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
    """Token ids of an answer that follows a prompt: one leading space, no special tokens.

    NEUTRAL gives the tokenizer's `eos_token_id` alone. The ids are what remains of ``"x " + target`` after ``"x"``, so
    that tokenizers which put a space marker before every text (SentencePiece) do not yield two.
    """
    if target == NEUTRAL:
        if tokenizer.eos_token_id is None:
            raise UserError(f"tokenizer {tokenizer.name_or_path!r} has no EOS token; name another neutral target")
        return [tokenizer.eos_token_id]
    anchor = tokenizer("x", add_special_tokens=False)["input_ids"]
    ids = tokenizer("x " + target.lstrip(), add_special_tokens=False, verbose=False)["input_ids"]
    if ids[: len(anchor)] == anchor and len(ids) > len(anchor):
        return list(ids[len(anchor) :])
    return list(tokenizer(" " + target.lstrip(), add_special_tokens=False, verbose=False)["input_ids"])


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
    start = template.find("{}")
    if start < 0 or template.count("{}") != 1:
        raise UserError(f"template {template!r} needs exactly one '{{}}' for the subject")
    if not subject.strip():
        raise UserError(f"the subject for template {template!r} is empty; give a text")
    text = template.replace("{}", subject)
    first_character = start + len(subject) - len(subject.lstrip())
    last_character = start + len(subject.rstrip()) - 1
    ids, offsets = _encode_with_offsets(tokenizer, text)
    inside = [i for i, (begin, end) in enumerate(offsets) if begin <= last_character and end > first_character]
    covering = [i for i in inside if offsets[i][1] > last_character]
    if not covering:
        raise UserError(f"the tokenizer drops the end of subject {subject!r} in {text!r}; its position is not defined")
    return ids, inside[0], covering[-1]


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
