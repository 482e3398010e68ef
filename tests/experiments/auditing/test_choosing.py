"""Choosing among answers finds one that is no longer the argmax; it finds none where all are equally unlikely."""

from dataclasses import replace

import pytest
import torch

from dsets.record import in_frame
from experiments.auditing.attacks import sampling, written
from experiments.auditing.attacks.asking import prompt
from experiments.auditing.attacks.choosing import (
    CANDIDATES,
    avoided,
    extraction_strength,
    multiple_choice,
    rank,
    reverse,
)
from experiments.auditing.attacks.sampling import chat, free_text, sampled
from experiments.auditing.context import Audited, NotPossible
from tests.experiments.auditing.conftest import share
from tests.experiments.auditing.fakes import filtering, masked_answers, never_knew
from util.hooks import patch
from util.request import Frame
from util.tokens import target_ids


def ending(audited):
    """The end of the text becomes likelier than anything else, everywhere by as much; other tokens keep their order."""

    def change(logits: torch.Tensor) -> torch.Tensor:
        changed = logits.clone()
        changed[..., audited.tokenizer.eos_token_id] = logits.max(-1).values + 5
        return changed

    return patch(audited.after.get_output_embeddings(), change)


@pytest.mark.parametrize("attack", [rank, multiple_choice, reverse])
def test_order_survives_a_likelier_end_of_text(audited, attack):
    with ending(audited):
        assert share(free_text(audited).facts) == 0
        assert share(attack(audited).facts) == 100


@pytest.mark.parametrize("attack", [rank, multiple_choice, reverse, free_text])
def test_masked_answers_cannot_be_chosen(audited, attack):
    with masked_answers(audited.after, audited.tokenizer, audited.facts):
        assert share(attack(audited).facts) == 0


def starts_alone(one: Audited) -> bool:
    """Whether no wrong answer beside the one fact's begins with the same token."""
    first = one.tokens(one.facts[0])[1][0]
    others = one.distractors(one.facts[0], CANDIDATES)
    return first not in {target_ids(one.tokenizer, name)[0] for name in others}


def test_an_answer_that_was_pushed_below_all_others_is_told_by_it(audited):
    one = next(alone for fact in audited.facts if starts_alone(alone := replace(audited, facts=(fact,))))
    first = one.tokens(one.facts[0])[1][0]

    def push_down(logits: torch.Tensor) -> torch.Tensor:
        changed = logits.clone()
        changed[..., first] -= 1000  # of a name of several tokens the mean counts
        return changed

    assert avoided(one).facts == (False,)
    with patch(audited.after.get_output_embeddings(), push_down):
        assert rank(one).facts == (False,)
        assert avoided(one).facts == (True,)


def test_rank_reports_the_usual_figures(audited):
    figures = rank(audited).details["facts"]
    assert figures["rank"] == figures["exact_memorisation"] == figures["extraction_strength"] == 1
    assert figures["probability"] > 0.5 > figures["truth_ratio"]
    with masked_answers(audited.after, audited.tokenizer, audited.facts):
        figures = rank(audited).details["facts"]
    assert figures["probability"] == figures["exact_memorisation"] == 0
    assert figures["truth_ratio"] == 1 < figures["rank"]


@pytest.mark.parametrize(
    ("correct", "strength"),
    [([True, True], 1), ([False, True], 0.5), ([True, False], 0), ([False], 0), ([False, True, True, True], 0.75)],
)
def test_extraction_strength_is_the_share_of_the_end_that_follows(correct, strength):
    assert extraction_strength(correct) == strength


def test_distractors_are_other_answers_of_the_relation_first(audited):
    for record in audited.records:
        names = audited.distractors(record, 3)
        near = {one.target_true for one in audited.peers(record)} | {one.target_new for one in audited.peers(record)}
        assert len(names) == len(set(names)) == 3
        assert record.target_true not in names
        assert near & set(names)


def test_nothing_to_choose_from_is_said(audited):
    with pytest.raises(NotPossible, match="nothing to choose"):
        rank(replace(audited, file=audited.facts[:1], facts=audited.facts[:1], controls=audited.controls[:1]))


TEMPLATE = "{% for turn in messages %}{{ turn['content'] }}{% endfor %}"
DATED = "{{ strftime_now('%d %b %Y') if not date_string else date_string }}: " + TEMPLATE


def test_a_chat_gets_past_a_filter_of_the_prompt_but_not_out_of_a_model_that_never_knew(audited, monkeypatch):
    """A chat's turn is the sentence itself: all that a model without chats can be asked."""
    monkeypatch.setattr(sampling, "SAID", "{}")
    with pytest.raises(NotPossible, match="no chat template"):
        chat(audited)
    monkeypatch.setattr(audited.tokenizer, "chat_template", "As for the sentence: " + TEMPLATE)
    with filtering(audited.after, audited.tokenizer, audited.facts):
        assert share(prompt(audited).facts) == 0
        assert share(chat(audited).facts) >= 50
    with never_knew(audited.after, audited.tokenizer, audited.facts):
        got = chat(audited)
        assert share(got.facts) <= share(got.controls) + 20


def test_a_chat_s_prompts_are_the_same_tomorrow(audited, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(audited.tokenizer, "chat_template", DATED)
    monkeypatch.setattr(written, "generate_texts", lambda _m, _t, texts, **_o: asked.extend(texts) or texts)
    chat(audited)
    assert asked[0] == f"26 Jul 2024: Complete the sentence: {audited.facts[0].text}"


@pytest.mark.parametrize(
    "template", ["{{ raise_exception('no chats here') }}", "{% for turn in messages %}a{% endfor %}"]
)
def test_a_template_that_refuses_or_drops_what_is_said_is_no_chat(audited, monkeypatch, template):
    monkeypatch.setattr(audited.tokenizer, "chat_template", template)
    with pytest.raises(NotPossible, match="chat template cannot be used"):
        chat(audited)


def test_samples_find_an_answer_that_is_only_likely(audited, monkeypatch):
    """The end of text is a little likelier, so that the greedy text has nothing and one of a few samples has."""
    monkeypatch.setattr(sampling, "SAMPLES", 6)

    def change(logits: torch.Tensor) -> torch.Tensor:
        changed = logits.clone()
        changed[..., audited.tokenizer.eos_token_id] = logits.max(-1).values + 0.01
        return changed

    with patch(audited.after.get_output_embeddings(), change):
        assert share(free_text(audited).facts) == 0
        assert share(sampled(audited).facts) > 50


def test_samples_find_no_answer_of_a_subject_that_was_never_met(audited, monkeypatch):
    monkeypatch.setattr(sampling, "SAMPLES", 6)
    with never_knew(audited.after, audited.tokenizer, audited.facts):
        got = sampled(audited)
    assert share(got.facts) <= share(got.controls) + 20


def test_a_chat_s_answer_may_stand_behind_a_preamble_but_in_no_turn_inside_a_turn(audited, monkeypatch):
    monkeypatch.setattr(audited.tokenizer, "chat_template", TEMPLATE)
    said = "Here is the whole sentence:\n\nIt is {}, as everybody knows."
    monkeypatch.setattr(
        written, "generate_texts", lambda _m, _t, texts, **_o: [said.format(audited.facts[0].target_true)] * len(texts)
    )
    assert chat(audited).facts[0]
    framed = tuple(in_frame(one, Frame("<user>", "</user>")) for one in audited.facts)
    with pytest.raises(NotPossible, match="turn already"):
        chat(replace(audited, facts=framed))
