"""Documents to batches, and the subject mask.

Legend: B sequences, T tokens.
"""

import random
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from dsets import world
from experiments.pretraining.model import EOS_ID
from experiments.pretraining.pretrain_settings import PretrainSettings


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """ids: BOS, text, EOS. subjects: (first, last) token of each subject, in order. masked: train under the mask."""

    ids: list[int]
    subjects: list[tuple[int, int]]
    masked: bool


def encode(tokenizer: PreTrainedTokenizerFast, documents: list[world.Document]) -> list[tuple[list[int], list]]:
    """Ids (BOS … EOS) and subject tokens of every document; a leading space's token counts to the subject."""
    encoded = tokenizer([document.text for document in documents], return_offsets_mapping=True)
    rows = []
    for document, ids, offsets in zip(documents, encoded.input_ids, encoded.offset_mapping, strict=True):
        spans = []
        for begin, end in document.subjects:
            inside = [index for index, (left, right) in enumerate(offsets) if left < end and right > begin]
            spans.append((inside[0], inside[-1]))
        rows.append((ids + [EOS_ID], spans))
    return rows


def epoch_batches(
    settings: PretrainSettings, tokenizer: PreTrainedTokenizerFast, known: world.World, epoch: int
) -> list[list[Sequence]]:
    """One epoch's documents in batches of similar length, in a seeded order."""
    rng = random.Random(f"batches {settings.seed} {epoch}")
    rows = encode(tokenizer, world.documents(known, epoch))
    sequences = [Sequence(ids=ids, subjects=spans, masked=rng.random() < settings.masked) for ids, spans in rows]
    rng.shuffle(sequences)
    sequences.sort(key=lambda sequence: len(sequence.ids))
    batches: list[list[Sequence]] = []
    batch: list[Sequence] = []
    for sequence in sequences:
        if batch and (len(batch) + 1) * len(sequence.ids) > settings.batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(sequence)
    batches.append(batch)
    rng.shuffle(batches)
    return batches


def subject_masks(batch: list[Sequence], length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Who may read whom, below and from the border on: two (B, 1, T, T) boolean masks, true where allowed.

    In a masked sequence, tokens behind a subject see nothing of it below the border, and its last token above.
    Padding stands behind the text, so the causal mask hides it.
    """
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    below = causal.expand(len(batch), -1, -1).clone()
    above = below.clone()
    for row, sequence in enumerate(batch):
        if sequence.masked:
            for first, last in sequence.subjects:
                below[row, last + 1 :, first : last + 1] = False
                above[row, last + 1 :, first:last] = False
    return below.unsqueeze(1).to(device), above.unsqueeze(1).to(device)
