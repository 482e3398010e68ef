"""Where words end, and what stands between a prompt and its answer."""

from unicodedata import normalize

import pytest

from util.writing import given_and_asked, occurrences, separator


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("The capital is", "Paris"),
        ("What is it?", "Paris"),
        ('the word "x"', "y"),
        ('He said "Stop!"', "and"),
        ("the players'", "room"),
        ("Le mot « chat »", "est"),
        ("Er rief „Halt!“", "und"),
        ("Er rief »Halt!«", "und"),
        ("(in)", "Paris"),
        ("The capital of Japan is", "東京"),
        ("The capital of 北国 is", "阿巴港"),
        ("한국의 수도는", "서울"),
        ("Россия —", "страна"),
    ],
)
def test_a_space_stands_before_an_answer(prompt, answer):
    assert separator(prompt, answer) == " "


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Answer:\n", "Paris"),
        ("<|im_start|>assistant\n", "Paris"),
        ("The capital is ", "Paris"),
        ("Name:\t", "Paris"),
        ('He said "', "Stop"),
        ('the 12" record called "', "Stop"),
        ('print("', "Stop"),
        ('He said:"', "Stop"),
        ("Er rief „", "Halt"),
        ("Er rief »", "Halt"),
        ("Il dit «", "oui"),
        ("Han sade ”", "nej"),
        ("the capital (", "Paris"),
        ("北国的首都是", "阿巴港"),
        ("北国的首都是", "Paris"),
        ("北国的首都是：", "Paris"),
        ("他说“", "Paris"),
        ("根据IMF", "中国"),
        ("日本の首都は", "東京"),
        ("ニホンノシュト ﾊ", "東京"),
        ("เมืองหลวงของไทยคือ", "กรุงเทพ"),
        ("ເມືອງຫຼວງ", "ວຽງຈັນ"),
        ("រាជធានី", "ភ្នំពេញ"),
        ("မြို့တော်", "နေပြည်တော်"),
        ("", "Paris"),
    ],
)
def test_nothing_stands_after_white_space_open_marks_and_scripts_without_spaces(prompt, answer):
    assert separator(prompt, answer) == ""


@pytest.mark.parametrize(
    ("prompt", "answer", "prefix", "given", "asked"),
    [
        ("It is", "Paris", None, "It is", " Paris"),
        ("It is ", "Paris", None, "It is", " Paris"),
        ("It is  ", " Paris", None, "It is", "  Paris"),
        ("Answer:\n", "Paris", None, "Answer:\n", "Paris"),
        ("Answer:\n ", "Paris", None, "Answer:\n", " Paris"),
        ("It is", "Paris", "", "It is", "Paris"),
        ("It is", "Paris", ": ", "It is:", " Paris"),
        ("It is", "Paris", "\n", "It is\n", "Paris"),
    ],
)
def test_plain_spaces_are_asked_for_and_other_white_space_is_given(prompt, answer, prefix, given, asked):
    assert given_and_asked(prompt, answer, prefix) == (given, asked)


@pytest.mark.parametrize(
    ("text", "name", "places"),
    [
        ("Ana met Ana", "Ana", [(0, 3), (8, 11)]),
        ("Anatolia", "Ana", []),
        ("Susana", "ana", []),
        ("Ana's home", "Ana", [(0, 3)]),
        ("a_b", "a", []),
        ("北国的首都是", "北国", [(0, 2)]),
        ("북국의 수도는", "북국", [(0, 2)]),
        ("대북국의", "북국", []),
        ("हिन्दी", "हिन", []),
        (normalize("NFD", "Aná"), "Ana", []),
        (normalize("NFD", "Is Zürich old?"), "Zürich", [(3, 10)]),
        ("Is Zürich old?", normalize("NFD", "Zürich"), [(3, 9)]),
        (normalize("NFD", "Zürichsee"), "Zürich", []),
        (normalize("NFD", "수도 서울은"), "서울", [(5, 10)]),
        (normalize("NFD", "수도 서울은"), "서우", []),
    ],
)
def test_names_are_found_as_words_in_any_unicode_form(text, name, places):
    assert occurrences(text, name) == places
