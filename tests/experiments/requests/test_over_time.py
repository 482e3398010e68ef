"""Requests that arrive over time: what the ways are handed; the table and the picture, from figures told here."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import arrivals as script
from experiments.arrivals import table
from experiments.requests import ledger, over_time
from experiments.requests.over_time_plot import draw_curves
from tests.experiments.small import fact, hparams_of
from util.errors import UserError

BASE = {"facts": 4.0, "earlier": None, "latest": 100.0, "specificity": 100.0, "retain": 100.0, "ppl": 3.094}
STEPS = [{**BASE, "facts": 2.0 * step, "earlier": 0.0, "latest": 50.0, "ppl": 3.1, "seconds": 1.0} for step in (1, 2)]
CURVES = {"ledger": [BASE, *STEPS], "alphaedit": [BASE, *({**one, "ppl": None} for one in STEPS)]}


def test_the_table_has_the_base_and_the_last_step_of_each_arm():
    base, ledger, other = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in table(CURVES).splitlines()[2:5]
    )
    assert base == ["base", "4", "", "100.0", "", "100.0", "100.0", "3.09", ""]
    assert ledger == ["ledger, step 2", "4", "0.0", "50.0", "", "100.0", "100.0", "3.10", "1.0"]
    assert other[0] == "alphaedit, step 2" and other[7] == ""


def test_the_picture_shows_every_arm(tmp_path):
    pytest.importorskip("matplotlib")
    draw_curves(CURVES, "Tiny", tmp_path / "arrivals.svg")
    text = (tmp_path / "arrivals.svg").read_text(encoding="utf-8")
    assert "ledger (joint)" in text and "AlphaEdit, earlier keys" in text and "repeated" not in text


def test_all_ways_are_handed_the_same_facts_and_subjects(work, tmp_path, monkeypatch):
    """They were handed none, and evaluate.py hands some: another comparison than that of its tables."""
    path, given = Path(hparams_of(work, "ZeroUnlearn_Local")), []
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"neighbors_per_template": 2}), encoding="utf-8")
    method, read = over_time.method, over_time.read_hparams

    def told(name):
        """The method, noting what it is handed."""
        package = method(name)

        def apply(model, tokenizer, requests, hparams, **options):
            edits = package.apply_to_model(model, tokenizer, requests, hparams, **options)
            given.append((len(requests), options["retain_requests"], options["neighbors"], edits.diagnostics))
            return edits

        return SimpleNamespace(apply_to_model=apply)

    for module in (ledger, over_time):
        monkeypatch.setattr(module, "method", told)
    monkeypatch.setattr(over_time, "read_hparams", lambda run, name: None if name == "AlphaEdit" else read(run, name))
    flags = {"alg_name": "ZeroUnlearn_Local", "hparams_fname": path, "steps": 2, "size": 2, "watched": 3, "ppl": "none"}
    own = ("--output", str(tmp_path), "--skip_plot", "--arms", "ledger", "repeated", "--quiet")
    dropped = dict.fromkeys(("unlearn_num", "retain_num", "results_dir"))
    script.main([*work.arguments(**flags | dropped), *own])
    assert [count for count, *_ in given] == [2, 4, 2, 2]
    kept = given[0][1]
    assert kept and all(retain == kept for _, retain, _, _ in given)
    names = {fact(i)["subject"] for i in range(24)}
    for _, _, near, diagnostics in given:
        assert {one.prompt for one in near} == {"{} was born in"} and {one.subject for one in near} <= names
        assert diagnostics["protected"]["existing"] == 2
    first = [[one.subject for one in near] for _, _, near, _ in given[::2]]
    assert first[0] == first[1], "the first step is the same for both"


def test_a_last_step_that_is_not_full_counts_the_facts_there_are(work, tmp_path, monkeypatch):
    """The tiny model's file has 24 facts, 12 of them in the forget pool."""
    read = over_time.read_hparams
    monkeypatch.setattr(over_time, "read_hparams", lambda run, name: None if name == "AlphaEdit" else read(run, name))
    flags = {"alg_name": "FT", "hparams_fname": hparams_of(work, "FT"), "steps": 2, "size": 7, "watched": 1}
    dropped = dict.fromkeys(("unlearn_num", "retain_num", "results_dir"))
    own = ("--output", str(tmp_path), "--skip_plot", "--arms", "repeated", "--quiet")
    script.main([*work.arguments(**flags | dropped | {"ppl": "none"}), *own])
    told = json.loads((tmp_path / "arrivals.json").read_text(encoding="utf-8"))["arms"]["repeated"]
    assert [step["facts"] for step in told] == [12, 7, 12]


def test_a_step_whose_numbers_break_is_told_in_one_line(work, tmp_path, monkeypatch):
    def broken(*_args, **_options):
        raise FloatingPointError("the edited model's numbers are not finite; its weights were put back")

    monkeypatch.setattr(ledger, "accepted", broken)
    read = over_time.read_hparams
    monkeypatch.setattr(over_time, "read_hparams", lambda run, name: None if name == "AlphaEdit" else read(run, name))
    flags = {"alg_name": "FT", "hparams_fname": hparams_of(work, "FT"), "steps": 1, "size": 2, "watched": 3}
    dropped = dict.fromkeys(("unlearn_num", "retain_num", "results_dir"))
    own = ("--output", str(tmp_path), "--skip_plot", "--arms", "ledger", "--quiet")
    with pytest.raises(UserError, match="FT cannot unlearn the requests of step 1 together: .* not finite"):
        script.main([*work.arguments(**flags | dropped | {"ppl": "none"}), *own])
