"""What a model says of a subject, what is watched beside it, and the folder that is written."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from dsets import Probe, Record
from experiments.requests.asking import about_subject
from experiments.requests.asking.about_subject import Asker
from experiments.requests.asking.wanted import Wanted
from experiments.requests.evidence.watching import choose_watched, still_right
from experiments.requests.unlearning.model_folder import stored_dtype, write_model
from tests.experiments.known import known_facts
from tests.tiny import tiny_llama
from util.standing import Standing


def fact(subject, answer, prompt="{} was born in", **more):
    return Record(case_id=subject, prompt=prompt, subject=subject, target_true=answer, **more)


class Speaking:
    """Stands for a model: what it says after a prompt, and with what probability."""

    def __init__(self, monkeypatch, said, probability=0.9):
        self.said, self.probability = said, probability
        monkeypatch.setattr(about_subject, "generate_texts", self.texts)
        monkeypatch.setattr(about_subject, "standings", self.standings)

    def texts(self, _model, _tokenizer, prompts, **_options):
        return [self.said(prompt) for prompt in prompts]

    def standings(self, _model, _tokenizer, asked, **_options):
        sure = self.probability
        return {one: Standing(sure(one[0]) if callable(sure) else sure, 1) for one in asked}


def asker(facts=()):
    return Asker(model=None, tokenizer=None, facts=facts, world=True, batch_tokens=100)


def test_what_is_said_of_everybody_is_no_knowledge(monkeypatch):
    def said(prompt):
        if "genre" in prompt:
            return " a novel." if "Ada" in prompt else " a poem."
        return " nothing at all."

    Speaking(monkeypatch, said)
    (records,) = asker().facts_wanted([Wanted(id="s", place="", subject="Ada")]).values()
    assert [(one.relation_id, one.target_true, one.case_id) for one in records] == [("genre", "a novel", "s/1")]
    assert records[0].paraphrases and all("Ada" in text for text in records[0].paraphrases)


def test_a_guess_is_no_knowledge(monkeypatch):
    Speaking(monkeypatch, lambda prompt: " Rome." if "Ada" in prompt else " Oslo.", probability=0.1)
    assert list(asker().facts_wanted([Wanted(id="s", place="", subject="Ada")]).values()) == [()]


@pytest.mark.parametrize("elsewhere", [0.4, 0.6])
def test_what_is_said_no_more_surely_than_of_nobody_is_made_up(monkeypatch, elsewhere):
    """Every invented subject gets an answer of its own, as where a model builds an answer out of the name."""

    def sure(prompt):
        return 0.5 if "Ada" in prompt else elsewhere

    Speaking(monkeypatch, lambda prompt: f" city {prompt.encode().hex()}.", probability=sure)
    (records,) = asker().facts_wanted([Wanted(id="s", place="", subject="Ada")]).values()
    assert bool(records) == (elsewhere < 0.5)


def test_the_data_set_goes_before_the_built_in_forms(monkeypatch):
    Speaking(monkeypatch, lambda prompt: f" {prompt[:3]}." if "Ada" in prompt else " Oslo.")
    known = fact("Ada", "London", "{} is a native of", relation_id="birthplace")
    (records,) = asker([known, fact("Ben", "Rome")]).facts_wanted([Wanted(id=3, place="", subject="ada")]).values()
    assert records[0].target_true == "London" and records[0].case_id == "3/1"
    assert [one.relation_id for one in records].count("birthplace") == 1


def test_an_open_prompt_gets_the_model_own_answer(monkeypatch):
    Speaking(monkeypatch, lambda prompt: " London, they say" if "Ada" in prompt else " Oslo.")
    wanted = Wanted(id="o", place="", subject="Ada", prompt="{} was born in")
    (records,) = asker([fact("Ada", "Rome", "{} lives in")]).facts_wanted([wanted]).values()
    assert [(one.prompt, one.target_true, one.case_id) for one in records] == [("{} was born in", "London", "o")]


def test_only_known_facts_of_others_are_watched():
    model, tokenizer = tiny_llama(max_position_embeddings=256)
    rows = known_facts(model, tokenizer, 20)
    records = [Record(case_id=i, **row) for i, row in enumerate(rows)]
    wrong = Record(case_id="wrong", prompt="{} is", subject="Mei Ling", target_true="xyzzy")
    forgotten = records[0]
    watched = choose_watched(model, tokenizer, [*records, wrong], [forgotten], seed=0, batch_tokens=1000)
    asked = {question[:2] for questions in watched.questions().values() for question in questions}
    assert forgotten.own_question[:2] not in asked and wrong.own_question[:2] not in asked
    kept = {record.own_question for record in watched.protected}
    assert kept and not kept & set(watched.retain)
    assert all(forgotten.subject in question[0] for question in watched.same_subject)
    assert all(forgotten.subject not in question[0] for question in (*watched.neighbours, *watched.retain))
    rates = still_right(model, tokenizer, watched, batch_tokens=1000)
    assert {one["after"] for one in rates.values() if one["n"]} == {100.0}
    with torch.no_grad():
        model.get_output_embeddings().weight.neg_()
    broken = still_right(model, tokenizer, watched, batch_tokens=1000)
    assert broken["retain"]["after"] < 100 and broken["retain"]["lost"]


def test_subjects_that_are_left_alone_are_not_watched():
    """A method keeps them, so that they show nothing of the others; of a forgotten one the rest is watched."""
    model, tokenizer = tiny_llama(max_position_embeddings=256)
    rows = known_facts(model, tokenizer, 40)
    names = [row["subject"] for row in rows]
    twice = next(row for row in rows if names.count(row["subject"]) > 1)
    other = next(row for row in rows if row["subject"] != twice["subject"])
    probe = Probe(prompt=other["prompt"].replace("{}", other["subject"]), answer=other["target_true"])
    records = [Record(case_id=i, **row) for i, row in enumerate(rows)]
    forgotten = Record(case_id="f", **twice, neighborhood=(probe,))
    asked = {"seed": 0, "batch_tokens": 1000}
    before = choose_watched(model, tokenizer, records, [forgotten], **asked)
    assert probe.prompt in {question[0] for question in before.neighbours}
    alone = {other["subject"], twice["subject"].upper()}
    watched = choose_watched(model, tokenizer, records, [forgotten], left_alone=alone, **asked)
    texts = [question[0] for questions in watched.questions().values() for question in questions]
    assert watched.same_subject == before.same_subject != ()
    assert watched.retain and not any(other["subject"] in text for text in texts)


def test_neighbours_that_name_a_forgotten_subject_do_not_count():
    model, tokenizer = tiny_llama(max_position_embeddings=256)
    (row,) = known_facts(model, tokenizer, 1)
    text = row["prompt"].replace("{}", row["subject"])
    probe = Probe(prompt=text, answer=row["target_true"])
    forgotten = Record(case_id=0, **row, neighborhood=(probe,))
    watched = choose_watched(model, tokenizer, [], [forgotten], seed=0, batch_tokens=1000)
    assert watched.neighbours == ()


@pytest.mark.parametrize("tied", [True, False])
def test_a_folder_has_the_source_dtype_and_its_ties(tmp_path, tied):
    model, tokenizer = tiny_llama(tie_word_embeddings=tied)
    model.to(torch.bfloat16).save_pretrained(tmp_path / "source")
    assert stored_dtype(str(tmp_path / "source"), model.float()) == torch.bfloat16
    write_model(model, tokenizer, tmp_path / "out", torch.bfloat16, "# card")
    assert model.dtype == torch.float32, "the model in memory is left alone"
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert again.dtype == torch.bfloat16
    assert (again.lm_head.weight is again.model.embed_tokens.weight) == tied
    for name, weight in model.named_parameters():
        assert torch.equal(weight.bfloat16(), again.get_parameter(name)), name
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("source", "out")]
    assert sizes[0] == sizes[1]
