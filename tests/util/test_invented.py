"""Invented names differ, are the same for a seed, and begin alike whatever their number."""

from util.invented import about_nobody, invented_names
from util.request import Frame, Request


def test_names_are_many_different_and_drawn_by_the_seed():
    names = invented_names(500)
    assert len(set(names)) == 500 and all(len(name.split()) == 2 for name in names)
    assert invented_names(20) == names[:20] != invented_names(20, seed=1)
    assert invented_names(0) == []


def test_requests_about_nobody_take_every_form_equally_often():
    chat = Frame("<user>", "</user>")
    facts = [Request(prompt="{} was born in", subject=f"Ada {i}", target_true="London") for i in range(5)]
    facts.append(Request(prompt="{} speaks", subject="Bo", target_true="Polish", answer_prefix=" ", frame=chat))
    found = about_nobody(facts, 6)
    assert [one.subject for one in found] == invented_names(6)
    assert [one.template for one in found] == ["{} was born in"] * 3 + ["<user>{} speaks</user>"] * 3
    assert {one.answer_prefix for one in found[3:]} == {" "}
    assert about_nobody(facts, 6, seed=1)[0].subject == invented_names(1, seed=1)[0]


def test_of_more_forms_than_are_wanted_some_are_left_out_evenly():
    facts = [Request(prompt=f"{i} {{}} is", subject="Ada", target_true="London") for i in range(10)]
    assert [one.prompt for one in about_nobody(facts, 5)] == [f"{i} {{}} is" for i in (0, 2, 4, 6, 8)]
