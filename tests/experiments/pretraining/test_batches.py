"""Documents to batches, and the subject mask."""

import pytest
import torch

from dsets import world
from experiments.pretraining.batches import Sequence, encode, epoch_batches, subject_masks
from experiments.pretraining.model import BOS_ID, EOS_ID, PAD_ID, new_model
from experiments.pretraining.training import loss_of
from tests.experiments.pretraining.tiny_run import CPU, TINY
from util.tokens import pad


def test_batches_hold_every_document_within_the_budget(known, tokenizer):
    batches = epoch_batches(TINY, tokenizer, known, 0)
    rows = encode(tokenizer, world.documents(known, 0))
    assert sorted(sequence.ids for batch in batches for sequence in batch) == sorted(ids for ids, _ in rows)
    assert all(len(batch) * max(len(sequence.ids) for sequence in batch) <= TINY.batch_tokens for batch in batches)
    sequences = [sequence for batch in batches for sequence in batch]
    assert 0.75 < sum(sequence.masked for sequence in sequences) / len(sequences) < 0.95


def test_encoded_documents_begin_once_and_end(known, tokenizer):
    documents = world.documents(known, 0)[:50]
    for document, (ids, spans) in zip(documents, encode(tokenizer, documents)):
        assert ids[0] == BOS_ID and ids[-1] == EOS_ID and ids.count(BOS_ID) == ids.count(EOS_ID) == 1
        names = [document.text[begin:end] for begin, end in document.subjects]
        assert [tokenizer.decode(ids[first : last + 1]).strip() for first, last in spans] == names


def test_mask_hides_the_subject_from_what_follows():
    batch = [
        Sequence(ids=[1, 5, 6, 7, 8, 2], subjects=[(1, 2)], masked=True),
        Sequence(ids=[1, 5, 6, 7, 8, 2], subjects=[(1, 2)], masked=False),
    ]
    below, above = subject_masks(batch, 6, CPU)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()
    assert torch.equal(below[1, 0], causal) and torch.equal(above[1, 0], causal)
    assert not below[0, 0, 3:, 1:3].any() and not above[0, 0, 3:, 1].any() and above[0, 0, 3:, 2].all()
    assert torch.equal(below[0, 0, :3], causal[:3]) and torch.equal(above[0, 0, :3], causal[:3])
    assert below[0, 0, 3:, 0].all() and torch.equal(below[0, 0, 3:, 3:], causal[3:, 3:])


def test_unmasked_loss_is_the_models_own():
    model = new_model(TINY, 500)
    rows = [[1, 40, 41, 42, 2], [1, 50, 51, 2]]
    loss = loss_of(model, [Sequence(ids=row, subjects=[(1, 1)], masked=False) for row in rows], 2, CPU)
    batch = pad(rows, PAD_ID)
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    own = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
    assert loss.item() == pytest.approx(own.item(), rel=1e-2)  # bfloat16 against float32


def test_below_the_border_nothing_reads_the_subject():
    """With every layer below the border, what follows a subject predicts the same whatever the subject is."""
    model = new_model(TINY, 500).double()
    rows = [[1, 40, 41, 42, 2], [1, 50, 51, 42, 2]]
    states = []
    for border in (3, 2):
        sequences = [Sequence(ids=row, subjects=[(1, 2)], masked=True) for row in rows]
        states.append([state_behind(model, [sequence], border) for sequence in sequences])
    assert states[0][0] == states[0][1]
    assert states[1][0] != states[1][1]


def state_behind(model, batch, border):
    """The final state at the last predicting position, which stands behind the subject."""
    seen = {}
    handle = model.model.norm.register_forward_hook(lambda _module, arguments, _output: seen.update(h=arguments[0]))
    loss_of(model, batch, border, CPU)
    handle.remove()
    return seen["h"][-1].tolist()
