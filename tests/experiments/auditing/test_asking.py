"""Asking again gets past a filter of the prompt, and gets nothing out of a model that never knew."""

from dataclasses import replace

import numpy as np
import pytest

from dsets.record import in_frame
from experiments.auditing.attacks import asking, choosing, probe
from experiments.auditing.attacks.asking import examples, few_shot, forms, irrelevant_prefix, paraphrases, prompt
from experiments.auditing.context import NotPossible
from tests.experiments.auditing.conftest import share
from tests.experiments.auditing.fakes import filtering, never_knew
from util.request import Frame

PAST_A_FILTER = {"paraphrases": paraphrases, "forms": forms, "prefix": irrelevant_prefix(50)}


def inside(audited, fake):
    return fake(audited.after, audited.tokenizer, audited.facts)


def test_the_prompt_tells_a_model_that_knows_from_one_that_does_not(audited):
    assert share(prompt(audited).facts) == 100
    with inside(audited, never_knew):
        assert share(prompt(audited).facts) == 0


@pytest.mark.parametrize("attack", PAST_A_FILTER.values(), ids=PAST_A_FILTER)
def test_other_texts_get_past_a_prompt_filter_but_not_out_of_one_that_never_knew(audited, attack):
    with inside(audited, filtering):
        assert share(prompt(audited).facts) == 0
        assert share(attack(audited).facts) == 100
    with inside(audited, never_knew):
        got = attack(audited)
        assert share(got.facts) <= share(got.controls) + 20


def test_few_shot_gets_it_where_it_is_known_only(audited):
    assert share(few_shot(audited).facts) == 100
    with inside(audited, never_knew):
        assert share(few_shot(audited).facts) == 0


def test_examples_do_not_say_the_answer_and_are_of_the_same_relation(audited):
    by_text = {one.text: one for one in audited.file}
    for record in audited.records:
        (shots,) = examples(audited, record)
        shown = [text for text in by_text if text in shots]
        assert shown
        assert record.target_true not in shots
        assert all(by_text[text].relation_id == record.relation_id for text in shown)


EVERY = {
    "prompt": prompt,
    **PAST_A_FILTER,
    "few_shot": few_shot,
    "rank": choosing.rank,
    "multiple_choice": choosing.multiple_choice,
    "reverse": choosing.reverse,
}


FRAME = Frame("<user>", "</user>\n")


def in_chat(audited):
    """The same, all its records inside FRAME."""
    parts = ("facts", "controls", "file")
    return replace(audited, **{name: tuple(in_frame(one, FRAME) for one in getattr(audited, name)) for name in parts})


@pytest.mark.parametrize("attack", EVERY.values(), ids=EVERY)
def test_a_framed_record_s_texts_all_stand_inside_its_frame(audited, monkeypatch, attack):
    frame, asked = FRAME, []

    def seen(_model, _tokenizer, questions, **_options):
        asked.extend(questions)
        raise NotPossible("seen")

    for module in (asking, choosing):
        monkeypatch.setattr(module, "score", seen)
    with pytest.raises(NotPossible, match="seen"):
        attack(in_chat(audited))
    assert len(asked) >= len(audited.records)
    for text, _, separator in asked:
        assert text.startswith(frame.before) and text.endswith(frame.after) and separator == ""
        assert text.count(frame.before) == text.count(frame.after) == 1


def test_a_probe_learns_inside_the_frame_that_it_is_asked_in(audited, monkeypatch):
    frame, read = FRAME, []
    monkeypatch.setattr(
        probe, "_last_states", lambda _audited, texts: read.extend(texts) or np.zeros((len(texts), 1, 2))
    )
    probe.linear_probe(in_chat(audited))
    assert len(read) > len(audited.records)
    for text in read:
        assert text.startswith(frame.before) and text.endswith(frame.after) and text.count(frame.before) == 1


def test_what_the_model_writes_by_itself_is_said_beside_what_it_is_asked(audited):
    assert prompt(audited).details["written"] == 100
    with inside(audited, never_knew):
        assert prompt(audited).details["written"] <= 20
    assert prompt(audited.of_wrong_answers()).details == {}, "nobody reads them"


def test_what_cannot_be_tried_is_said_with_its_reason(audited):
    alone = replace(audited.facts[0], paraphrases=())
    bare = replace(audited, facts=(alone,), file=(alone,))
    with pytest.raises(NotPossible, match="no paraphrases"):
        paraphrases(bare)
    with pytest.raises(NotPossible, match="two answers"):
        few_shot(bare)


def test_a_text_that_is_too_long_is_not_asked(audited):
    with pytest.raises(NotPossible, match="positions"):
        irrelevant_prefix(600)(audited)


def test_the_prefix_has_the_tokens_that_it_is_named_after(audited, monkeypatch):
    seen = {}
    monkeypatch.setattr(asking, "score", lambda _m, _t, questions, **_o: seen.update(dict.fromkeys(questions, 1)))
    with pytest.raises(TypeError):  # the scores that were not made
        irrelevant_prefix(50)(audited)
    longest = max(seen, key=lambda one: len(one[0]))[0]
    before = longest.removesuffix(next(one.text for one in audited.records if longest.endswith(one.text)))
    assert 48 <= len(audited.tokenizer(before, add_special_tokens=False)["input_ids"]) <= 52
