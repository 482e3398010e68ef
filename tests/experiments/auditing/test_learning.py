"""Attacks that train something: they bring back what an edit hides, and nothing that was never there."""

import copy
from dataclasses import replace

import pytest
import torch

import dsets
from baselines import memit
from dsets.corpus import load_corpus
from experiments.auditing import lessons
from experiments.auditing.attacking import prepare
from experiments.auditing.attacks import masking, relearning
from experiments.auditing.attacks.asking import IRRELEVANT, prompt
from experiments.auditing.attacks.masking import mask, masked
from experiments.auditing.attacks.relearning import on_other_half, on_same_subjects, on_unrelated_text
from experiments.auditing.context import NotPossible, with_wrong_answers
from experiments.auditing.lessons import gradients, other_halves, rows
from experiments.auditing.verdict import LEVEL, figure
from tests.experiments.auditing.conftest import share
from tests.experiments.auditing.fakes import never_knew
from tests.memory import Peak
from util.editing.statistics import CorpusMoments
from util.hooks import capture
from util.likelihood import answer_log_likelihoods
from util.paths import hparams_dir
from util.tokens import encode
from util.weights import WeightEdits, read_weight

EDITED = "model.layers.1.mlp.down_proj"


def test_a_mask_gets_back_what_memit_hid_from_facts_that_it_was_not_taught(world, monkeypatch):
    monkeypatch.setattr(masking, "STEPS", (10,))
    after, tok = copy.deepcopy(world.before), world.tokenizer
    pool = dsets.load("mcf", world=True).records
    facts = list({one.subject: one for one in pool[len(pool) // 2 :][:60]}.values())[:16]
    hparams = memit.HParams.from_json(hparams_dir() / "MEMIT" / "world.json")
    moments = CorpusMoments(after, tok, hparams.rewrite_modules(), load_corpus("world", 100))
    short, requests = hparams.model_copy(update={"v_num_grad_steps": 10}), [one.request() for one in facts]
    memit.apply_to_model(after, tok, requests, short, moments=moments, context_templates=[["{}"]])
    audited = prepare(world.before, after, tok, facts, seed=0, batch_tokens=2048, controls=48)
    assert share(prompt(audited).facts) == 0
    got = mask(audited)
    assert figure(got.facts, got.controls, 0).accuses(LEVEL)
    assert share(got.facts) >= 25 > 10 >= share(got.controls)


@pytest.fixture
def edited(audited):
    """The model after with a direction more in one matrix."""
    edits, generator = WeightEdits(), torch.Generator().manual_seed(0)
    W_OI = read_weight(audited.after, EDITED)
    left, right = (torch.randn(size, generator=generator) for size in W_OI.shape)
    edits.write(audited.after, EDITED, W_OI + 0.01 * torch.outer(left, right))
    yield audited
    edits.undo(audited.after)


def test_a_mask_gets_nothing_back_that_was_never_there(edited, monkeypatch):
    monkeypatch.setattr(masking, "STEPS", (5,))
    with never_knew(edited.after, edited.tokenizer, edited.facts):
        got = mask(edited)
    assert not figure(got.facts, got.controls, 0).accuses(LEVEL)
    assert got.details["curve"]["steps"] == [0, 5]


def test_a_mask_needs_an_edit_and_two_facts(audited, edited):
    with pytest.raises(NotPossible, match="other half"):
        mask(replace(edited, facts=edited.facts[:1], controls=edited.controls[:1]))
    with pytest.raises(NotPossible, match="no linear weight"):
        mask(replace(edited, after=edited.before))


def test_masked_columns_are_off_and_the_weight_stays(audited):
    model, ids = audited.after, torch.tensor([[5, 6, 7]])
    W_OI, edits = read_weight(model, EDITED), WeightEdits()
    bits_I = (torch.arange(W_OI.shape[1]) % 3 > 0).float()
    with torch.no_grad(), masked(model, {EDITED: lambda: bits_I}):
        found = model(input_ids=ids).logits
    try:
        edits.write(model, EDITED, W_OI * bits_I)
        with torch.no_grad():
            wanted = model(input_ids=ids).logits
    finally:
        edits.undo(model)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("count", [2, 5, 6])
def test_no_half_is_taught_a_prompt_that_it_is_asked(audited, count):
    few = replace(audited, facts=audited.facts[:count], controls=audited.controls[:count])
    few = replace(few, wrong=with_wrong_answers(few.facts, few.file, 0, 30))
    for one in (few, few.of_wrong_answers(), replace(few.of_wrong_answers(), controls=())):
        lessons = other_halves(one)
        places = [place for lesson in lessons for place in lesson.asked]
        assert sorted(places) == list(range(len(one.records)))
        for lesson in lessons:
            texts = [audited.tokenizer.decode(row.prompt, skip_special_tokens=True) for row in lesson.taught]
            assert len(set(texts)) == len(texts)
            assert not set(texts) & {one.records[place].text for place in lesson.asked}


def test_nobody_is_taught_the_true_answer_that_is_asked_a_wrong_one(small, monkeypatch):
    told: list = []
    monkeypatch.setattr(relearning, "rows", lambda _audited, records: told.extend(records) or ())
    monkeypatch.setattr(relearning, "ask_while_learning", lambda *_: None)
    on_same_subjects(small.of_wrong_answers())
    assert told and not {record.prompt for record in told} & {record.prompt for record in small.facts}


def test_a_fact_whose_subject_the_file_says_nothing_else_of_is_not_tried(small):
    alone = tuple(one for one in small.context if one.subject != small.facts[0].subject)
    got = on_same_subjects(replace(small, context=alone))
    assert got.facts[0] is None and None not in got.facts[1:]
    assert got.controls[0] is None and None not in got.controls[1:]


def test_relearning_steps_in_float32_and_refuses_weights_that_leave_the_finite_numbers(small, monkeypatch):
    half = copy.deepcopy(small.after).to(torch.float16)
    got = on_unrelated_text(replace(small, after=half, before=half))
    assert got.details["curve"]["facts"][-1] > 50
    monkeypatch.setattr(relearning, "RATE", 1e6)
    with pytest.raises(NotPossible, match="float16"):
        on_unrelated_text(replace(small, after=half, before=half))


def test_halves_teach_nothing_that_they_ask(audited):
    places = [place for lesson in other_halves(audited) for place in lesson.asked]
    assert sorted(places) == list(range(len(audited.records)))
    count = len(audited.facts)
    for lesson in other_halves(audited):
        asked = {audited.records[place].own_question[:2] for place in lesson.asked}
        texts = {audited.tokenizer.decode(row.prompt, skip_special_tokens=True) for row in lesson.taught}
        assert len(texts) == len(lesson.taught) == count // 2
        assert not texts & {text for text, _ in asked}
        assert len({place < count for place in lesson.asked}) == 1


OTHER = tuple(
    dsets.Record(case_id=i, prompt=prompt, subject="{}", target_true=answer)
    for i, (prompt, answer) in enumerate({"{} is the owner of a": "bicycle", "{} once lived in": "a castle"}.items())
)
"""What else may be said of a subject."""


@pytest.fixture
def small(audited, monkeypatch):
    """Few steps, few controls, and two other facts about every subject."""
    monkeypatch.setattr(relearning, "STEPS", (2, 6))
    about = tuple(replace(one, subject=fact.subject) for fact in audited.facts for one in OTHER)
    return replace(audited, controls=audited.controls[: len(audited.facts)], context=about)


RELEARNING = {"half": on_other_half, "subjects": on_same_subjects, "unrelated": on_unrelated_text}


JUST_ENOUGH = 27.5
"""Times the direction of `ending`: with a little less most facts are still said."""


@pytest.fixture
def ending(small):
    """One direction of the last layer, which every text takes, makes the end of the text a little likelier than all."""
    model, edits, name = small.after, WeightEdits(), "model.layers.3.mlp.down_proj"
    texts = [record.text for record in small.facts] + [IRRELEVANT] * len(small.facts)
    with torch.no_grad(), capture({name: model.get_submodule(name)}, inputs=True) as seen:
        means = []
        for text in texts:
            model(input_ids=torch.tensor([encode(small.tokenizer, text)]))
            means.append(seen[name][0, 1:].mean(0))
    mean_I = torch.stack(means).mean(0)
    end_O = model.get_output_embeddings().weight[small.tokenizer.eos_token_id].detach()
    direction_OI = torch.outer(end_O / end_O.norm(), mean_I / mean_I.square().sum())
    edits.write(model, name, read_weight(model, name) + JUST_ENOUGH * direction_OI)
    yield small
    edits.undo(model)


@pytest.mark.parametrize("attack", RELEARNING.values(), ids=RELEARNING)
def test_relearning_brings_back_what_one_direction_hides(ending, attack):
    got = attack(ending)
    assert got.details["curve"]["facts"][0] <= 40
    assert share(got.facts) > 60


@pytest.mark.parametrize("attack", RELEARNING.values(), ids=RELEARNING)
def test_relearning_brings_back_nothing_that_was_never_there(small, attack):
    with never_knew(small.after, small.tokenizer, small.facts):
        got = attack(small)
    assert share(got.facts) <= share(got.controls) + 20
    assert got.details["curve"]["steps"] == [0, 2, 6]


def test_the_same_subjects_need_other_facts_and_another_wording_is_none(audited):
    with pytest.raises(NotPossible, match="same subjects"):
        on_same_subjects(audited)
    again = tuple(replace(one, prompt="It is said: " + one.prompt) for one in audited.facts)
    with pytest.raises(NotPossible, match="same subjects"):
        on_same_subjects(replace(audited, context=again))


@pytest.fixture
def taught(audited):
    """Rows, two matrices that they reach and one that they do not."""
    names = ("model.layers.1.mlp.down_proj.weight", "model.layers.3.self_attn.q_proj.weight")
    weights = [audited.after.get_parameter(name) for name in names]
    return rows(audited, audited.records), [*weights, torch.zeros(2, 3, requires_grad=True)]


def test_one_batch_of_a_lesson_gives_the_gradients_of_its_mean_to_the_bit(audited, taught):
    some, weights = taught
    loss = -answer_log_likelihoods(audited.after, some).sum() / sum(len(row.answer) for row in some)
    expected = torch.autograd.grad(loss, weights[:2])
    with torch.no_grad():
        *found, none = gradients(audited.after, some, weights, 2048)
    assert none is None
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("room", [1, 4, 7])
def test_a_lesson_that_runs_out_of_memory_is_learnt_in_smaller_batches(audited, taught, monkeypatch, room):
    expected, sizes = gradients(audited.after, *taught, 2048), []
    monkeypatch.setattr(lessons, "answer_log_likelihoods", in_room_for(room, sizes))
    found = gradients(audited.after, *taught, 2048)
    assert sum(sizes) == len(taught[0]) and max(sizes) <= room
    for one, other in zip(found[:2], expected[:2], strict=True):
        assert (one - other).norm() < 1e-5 * other.norm()


def in_room_for(most, sizes=None):
    """Likelihoods of so many rows at a time; sizes: of the batches that had room."""

    def likelihoods(model, some):
        if len(some) > most:
            raise torch.OutOfMemoryError
        if sizes is not None:
            sizes.append(len(some))
        return answer_log_likelihoods(model, some)

    return likelihoods


def test_small_batches_take_little_memory(audited, taught):
    most = []
    for batch_tokens in (2048, 60):
        with Peak() as peak:
            gradients(audited.after, *taught, batch_tokens)
        most.append(peak.most)
    assert most[1] < most[0] / 2


@pytest.mark.parametrize("attack", [on_other_half, on_unrelated_text, mask])
def test_what_is_learnt_does_not_hang_on_the_batches(small, edited, monkeypatch, attack):
    monkeypatch.setattr(masking, "STEPS", (2,))
    expected = attack(small)
    monkeypatch.setattr(lessons, "answer_log_likelihoods", in_room_for(1))
    assert attack(small) == expected
