"""Which place a method gets in the picture of forgotten against kept, and which methods none beats."""

import pytest

from experiments.reporting.trade_off_plot import Point, checked, front, points
from experiments.summarize import main
from tests.experiments.reporting.test_table import summary
from tests.experiments.test_summarize import put
from util import runs
from util.errors import UserError

AFTER = {"efficacy": 1.0, "generalization": 3.0, "specificity": 90.0, "retain": 80.0}


def run(name, seed, **after):
    made = summary(name, seed=seed, value=0.0)
    return made | {"unlearned": made["unlearned"] | AFTER | after}


def test_a_point_is_the_mean_over_seeds_of_eff_and_gen_together():
    runs = [run("MEMIT", 0), run("MEMIT", 1, efficacy=3.0, retain=90.0)]
    assert points(runs, ["MEMIT"], "retain") == [Point("MEMIT", 5.0, 1.0, 85.0, 5.0)]
    assert points(runs, ["MEMIT"], "specificity") == [Point("MEMIT", 5.0, 1.0, 90.0, 0.0)]


@pytest.mark.parametrize("lost", [None, float("nan")])
def test_a_method_that_lacks_a_figure_has_no_place(lost):
    runs = [run("MEMIT", 0), run("MEMIT", 1, specificity=lost), run("ROME", 0), run("ROME", 1)]
    assert [one.label for one in points(runs, ["MEMIT", "ROME"], "specificity")] == ["ROME"]
    assert [one.label for one in points(runs, ["MEMIT", "ROME"], "retain")] == ["MEMIT", "ROME"]


def test_the_front_holds_those_that_none_beats():
    def at(label, left, kept):
        return Point(label, left, 0.0, kept, 0.0)

    best, cheap, beaten, equal = at("best", 0, 90), at("cheap", 10, 99), at("beaten", 5, 90), at("equal", 0, 90)
    assert front([beaten, cheap, best, equal]) == [best, equal, cheap]
    assert front([]) == []


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_command_draws_a_row_of_panels_a_block(kind, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    for number, seed in enumerate((0, 1)):
        put(tmp_path, "MEMIT", number, seed=seed, value=2.0, block="a" * 64)
        put(tmp_path, "ROME", number, seed=seed, value=4.0, block="b" * 64)
    file = tmp_path / "plots" / f"trade.{kind}"
    main(["--results_dir", str(tmp_path), "--plot", str(file)])
    assert capsys.readouterr().out.endswith(f"{file}\n")
    content = file.read_bytes()
    if kind == "svg":
        text = content.decode()
        assert text.count("less is better") == 4 and text.count("Base aaaaaaaa") == 1
        assert "MEMIT" in text and "ROME" in text and "NPO" not in text
    else:
        assert content.startswith(b"\x89PNG")


def test_a_picture_of_no_known_kind_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UserError, match=r"trade\.gif: give a name that ends in \.svg or \.png"):
        main(["--results_dir", str(tmp_path / "nothing"), "--plot", "trade.gif"])


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="requirements-extra"):
        checked(tmp_path / "a.svg")
