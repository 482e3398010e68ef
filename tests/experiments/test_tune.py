"""tune.py from the command line to the files, on a tiny random model."""

import json
import re

import pytest

from baselines.registry import method
from experiments import summarize, tune
from experiments.running import run as running
from experiments.running.sweeping.tuning import TRIALS
from experiments.tracing import suggesting
from tests.experiments.known import known_facts
from tests.experiments.small import hparams_of
from tests.tiny import tiny_llama
from util import modeling
from util.errors import UserError


@pytest.fixture
def known(work):
    """A file of facts that the workplace's model knows."""
    return work.write("known.json", json.dumps(known_facts(*tiny_llama(), 12)))


def command(work, **changes):
    flags = {"alg_name": "ZeroUnlearn", "part": "all", "retain_num": 2, "unlearn_num": 2} | changes
    return [*work.arguments(**flags), "--quiet"]


def test_hparams_that_load_and_a_log_of_every_trial_which_is_not_done_twice(work, known, capsys, monkeypatch):
    tune.main(command(work, ds_name=known))
    folder = work.results / "tuned" / "ZeroUnlearn"
    said, chosen = capsys.readouterr().out, method("ZeroUnlearn").HParams.from_json(folder / "Tiny.json")
    log = (folder / "Tiny.md").read_text(encoding="utf-8")
    assert str(folder / "Tiny.json") in said
    trials = len(list((work.results / "tuned" / "runs" / "ZeroUnlearn").glob("*_run_*")))
    assert (
        trials == TRIALS and len([line for line in log.splitlines() if line.startswith("| ")]) == trials + 3
    )  # heading, rule, Base
    assert "(the start)" in log and "wiki_KKT_lam = 500" in log and "experiments/tune.py" in log
    assert re.search(r"Causal trace: layers \d+(, \d+)* \(causal trace of 12 known facts", log)
    best = [line for line in log.splitlines() if "**" in line]
    assert len(best) == 1
    monkeypatch.setattr(running, "_forget", lambda *_: pytest.fail("a finished trial was done again"))
    tune.main(command(work, ds_name=known))
    assert capsys.readouterr().out == said
    assert json.loads((folder / "Tiny.json").read_text()) == chosen.model_dump()
    with pytest.raises(UserError, match="has no finished run of ZeroUnlearn"):  # a trial is no result of the method
        summarize.main([f"--results_dir={work.results}", "--methods", "ZeroUnlearn"])


def test_base_is_kept_for_all_trials(work, known):
    own = {"alg_name": "FT", "hparams_fname": hparams_of(work, "FT"), "ppl": "none"}
    tune.main([*command(work, ds_name=known, **own), "--use_cache"])
    assert len(list((work.results / "tuned" / "runs" / ".base").iterdir())) == 1 and not (work.results / "FT").exists()


def test_where_no_trace_can_be_made_the_usual_layers_are_tried_and_it_is_told(work, known, capsys, monkeypatch):
    def refuse(*_, **__):
        raise UserError("no down-projection can be told")

    monkeypatch.setattr(suggesting, "trace", refuse)
    tune.main(command(work, ds_name=known, unlearn_num=1, ppl="none"))
    log = (work.results / "tuned" / "ZeroUnlearn" / "Tiny.md").read_text(encoding="utf-8")
    usual = modeling.usual_target_layer(tiny_llama()[0])
    assert f"Causal trace: layers {usual} (the usual share of the depth, no trace)" in log
    assert "no causal trace: no down-projection can be told; the layers are the usual" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("of_known", "watched", "words"),
    [(False, 2, "Base answers none of these facts; give --known prompt"), (True, 0, "give --retain_num or facts with")],
)
def test_facts_that_tell_nothing_end_the_search_after_one_trial(work, known, of_known, watched, words):
    facts = {"ds_name": known} if of_known else {}
    with pytest.raises(UserError, match=words):
        tune.main(command(work, retain_num=watched, **facts))
    assert not list((work.results / "tuned").glob("*/Tiny.*"))
    assert len(list((work.results / "tuned" / "runs").glob("*/*_run_*"))) == 1


def test_the_facts_are_the_tuning_part_unless_told_otherwise(work):
    flags = [part for part in command(work) if part not in ("--part", "all")]
    settings = tune.TuneSettings.parse(flags, "tune.py", "")
    assert settings.part == "tuning" and settings.run("ZeroUnlearn", "mcf", 1).part == "tuning"


def test_what_cannot_be_tuned_is_told_in_one_line(work):
    with pytest.raises(UserError, match="--alg_name BASE has nothing to choose; take some of"):
        tune.main(command(work, alg_name="BASE"))
    with pytest.raises(UserError, match="unknown method 'Foo'"):
        tune.main(command(work, alg_name="Foo"))
