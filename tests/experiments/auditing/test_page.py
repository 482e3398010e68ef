"""The page is one well-formed file that shows every figure and quotes what it is given."""

import re
from xml.etree import ElementTree

import pytest

from experiments.auditing.page import page
from experiments.auditing.plots import Line, heat_map, line_chart
from experiments.auditing.verdict import NO_WRONG_ANSWERS


def result(**changes) -> dict:
    one = {"recovered": 40.0, "interval": [20.0, 60.0], "chance": 1.5, "n": 2, "accuses": True, "counted": True}
    one["probability_by_chance"] = 0.00123
    curve = {"steps": [0, 1, 50], "facts": [0.0, 50.0, 100.0], "controls": [0.0, 0.0, 0.0]}
    return {
        "verdict": "still there",
        "worst": {"attack": "lens", "recovered": 40.0, "chance": 1.5},
        "attacks": {
            "lens": one | {"about": "a <lens>", "details": {"by_layer": {"before": [1.0, 2.0], "after": [3.0, 4.0]}}},
            "rank": one | {"about": "", "details": {"facts": {"truth_ratio": 0.12345}, "against": "<oracle>"}},
            "relearn_half": one | {"about": "", "accuses": False, "counted": False, "details": {"curve": curve}},
        },
        "skipped": {"chat": "no <template>"},
        "known": 2,
        "level": 0.0007,
        "wrong_answers": 30,
        "facts": [
            {"case_id": 0, "prompt": "A & B is", "answer": "<C>", "recovered_by": ["lens"]},
            {"case_id": 1, "prompt": "D is", "answer": "E", "recovered_by": []},
        ],
        "locality": {"same subject": None, "unrelated": {"mean": 0.25, "tail": 1.5, "n": 3}},
    } | changes


def test_it_is_well_formed_and_shows_what_it_is_given():
    text = page(result())
    body = text[text.index("<body>") : text.index("</html>")]
    tree = ElementTree.fromstring(body.replace("<br>", "<br/>"))
    said = "".join(tree.itertext())
    for wanted in (
        "still there",
        "40.0",
        "20.0–60.0",
        "1.5",
        "no <template>",
        "a <lens>",
        "0.2500",
        "0.0012",
        "below 0.0007",
        "not counted",
    ):
        assert wanted in said
    assert len(tree.findall(".//svg")) == 3
    assert "A & B is <C>" in {title.text.partition(": ")[2] for title in tree.iter("title")}


def test_it_takes_nothing_from_elsewhere_and_follows_the_reader_s_screen():
    text = page(result())
    assert not re.search(r"<script|<link|src=|https?://", text)
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text


def test_figures_that_are_no_curves_have_a_table_and_missing_wrong_answers_are_said():
    text = page(result())
    for cells in (("rank", "facts, truth ratio", "0.123"), ("rank", "against", "&lt;oracle&gt;")):
        assert f"<tr><td>{cells[0]}</td><td class='text'>{cells[1]}</td><td>{cells[2]}</td></tr>" in text
    assert NO_WRONG_ANSWERS not in text and NO_WRONG_ANSWERS in page(result(wrong_answers=0))


@pytest.mark.parametrize("verdict", ["forgotten", "hidden", "still there"])
def test_every_verdict_has_its_meaning(verdict):
    assert verdict in page(result(verdict=verdict))


def test_a_heat_map_fills_what_is_marked():
    tree = ElementTree.fromstring(heat_map(["a", "b"], ["x", "y", "z"], [[True, False, True], [False] * 3]))
    assert [cell.get("class") for cell in tree.findall("rect")] == ["got", "empty", "got", *["empty"] * 3]


def test_a_chart_has_a_line_each_with_its_points():
    lines = [Line("facts", (0, 1, 5), (0.0, 50.0, 100.0)), Line("controls", (0, 1, 5), (0.0, 0.0, 0.0))]
    tree = ElementTree.fromstring(line_chart("steps", lines, "percent"))
    drawn = [one.get("points").split() for one in tree.findall("polyline") if one.get("class") != "axis"]
    assert [len(points) for points in drawn] == [3, 3]
    heights = [float(point.split(",")[1]) for point in drawn[0]]
    assert heights == sorted(heights, reverse=True)
    assert line_chart("steps", [Line("one", (0,), (5.0,))], "percent")
