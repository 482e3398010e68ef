"""tune.py from the command line to the files, on a tiny random model."""

import json

import pytest

from baselines.registry import method
from experiments import tune
from experiments.running import run as running
from experiments.running.sweeping.tuning import TRIALS
from util.errors import UserError


def command(work, **changes):
    flags = {"alg_name": "ZeroUnlearn", "part": "all", "retain_num": 2, "unlearn_num": 2} | changes
    return [*work.arguments(**flags), "--quiet"]


def test_hparams_that_load_and_a_log_of_every_trial_which_is_not_done_twice(work, capsys, monkeypatch):
    tune.main(command(work))
    folder = work.results / "tuned" / "ZeroUnlearn"
    said, chosen = capsys.readouterr().out, method("ZeroUnlearn").HParams.from_json(folder / "Tiny.json")
    log = (folder / "Tiny.md").read_text(encoding="utf-8")
    assert str(folder / "Tiny.json") in said
    trials = len(list((work.results / "ZeroUnlearn").glob("*_run_*")))
    assert (
        trials == TRIALS and len([line for line in log.splitlines() if line.startswith("| ")]) == trials + 3
    )  # heading, rule, Base
    assert "(the start)" in log and "wiki_KKT_lam = 500" in log and "experiments/tune.py" in log
    best = [line for line in log.splitlines() if "**" in line]
    assert len(best) == 1
    monkeypatch.setattr(running, "_forget", lambda *_: pytest.fail("a finished trial was done again"))
    tune.main(command(work))
    assert capsys.readouterr().out == said
    assert json.loads((folder / "Tiny.json").read_text()) == chosen.model_dump()


def test_the_facts_are_the_tuning_part_unless_told_otherwise(work):
    flags = [part for part in command(work) if part not in ("--part", "all")]
    settings = tune.TuneSettings.parse(flags, "tune.py", "")
    assert settings.part == "tuning" and settings.run("ZeroUnlearn", "mcf", 1).part == "tuning"


def test_what_cannot_be_tuned_is_told_in_one_line(work):
    with pytest.raises(UserError, match="--alg_name BASE has nothing to choose; take some of"):
        tune.main(command(work, alg_name="BASE"))
    with pytest.raises(UserError, match="unknown method 'Foo'"):
        tune.main(command(work, alg_name="Foo"))
