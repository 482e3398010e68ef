"""The search for hparams: as many trials for every method, one change at a time, an objective that is what it says."""

import re

import pytest

from baselines.registry import METHODS, method
from experiments.running.sweeping.tuning import AXES, TRIALS, axes, climb, score, started
from experiments.running.sweeping.tuning_log import table
from util.errors import UserError
from util.hparams import LayerHParams
from util.paths import hparams_dir

TUNED = sorted(set(METHODS) - {"BASE"})
MODELS = {"world": 4, "Llama-3.2-3B-Instruct": 28, "Qwen3-4B": 36}


def hparams(name, model="Llama-3.2-3B-Instruct"):
    return method(name).HParams.from_json(hparams_dir() / name / f"{model}.json")


@pytest.mark.parametrize("name", TUNED)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("traced", [0, 1, 3, "the start"])
def test_every_method_gets_the_same_number_of_trials_on_every_model(name, model, traced):
    start = started(name, hparams(name, model))
    along = axes(name, start, start.layers[-1] if traced == "the start" else traced, MODELS[model])
    assert 1 + sum(len(values) - 1 for values in along.values()) == TRIALS


@pytest.mark.parametrize("name", TUNED)
def test_a_trial_changes_one_setting_of_the_best_before_it_and_is_valid(name):
    start = started(name, hparams(name))
    seen = []
    trials = climb(start, axes(name, start, 5, 28), lambda one: seen.append(one) or summary(50, 50))
    assert [trial.hparams for trial in trials] == seen and len(set(map(repr, seen))) == TRIALS
    for trial in trials[1:]:  # all score the same, so the start stays the best
        different = {key for key, value in trial.hparams.model_dump().items() if value != getattr(start, key)}
        assert different == set(trial.changed) and len(different) == 1


def summary(left, kept, ppl=None):
    base = {"efficacy": 100, "generalization": 100, "specificity": 100, "retain": 100, "ppl": 10 if ppl else None}
    after = {"efficacy": left, "generalization": left, "specificity": kept, "retain": kept, "ppl": ppl}
    return {"base": base, "unlearned": after, "seconds": {"total": 1.0}}


def test_the_search_keeps_what_was_better_and_goes_on_from_there():
    start = started("MEMIT", hparams("MEMIT"))
    wanted = {"mom2_update_weight": 1000, "v_lr": 0.2}

    def measure(one):
        return summary(50 - 20 * sum(getattr(one, key) == value for key, value in wanted.items()), 100)

    trials = climb(start, axes("MEMIT", start, 5, 28), measure)
    best = max(trials, key=lambda trial: trial.score)
    assert {key: getattr(best.hparams, key) for key in wanted} == wanted
    assert best.hparams.layers == start.layers


def test_a_value_that_the_method_refuses_is_a_trial_without_a_score_and_a_refused_start_is_told():
    start = started("AlphaEdit", hparams("AlphaEdit"))

    def measure(one):
        if one.nullspace_threshold < 0.01:
            raise UserError("no eigenvalue is that small")
        return summary(50, 50)

    trials = climb(start, axes("AlphaEdit", start, 5, 28), measure)
    refused = [trial for trial in trials if trial.refused]
    assert len(trials) == TRIALS and [trial.score for trial in refused] == [0.0, 0.0]
    log = log_of(trials).splitlines()
    assert len([line for line in log if line.startswith("| ") and " – " in line]) == 2
    assert len([line for line in log if re.match(r"Trial \d: no eigenvalue", line)]) == 2
    with pytest.raises(UserError, match="no eigenvalue"):
        climb(start.model_copy(update={"nullspace_threshold": 0.001}), {}, measure)


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ({"efficacy": 0.0, "generalization": None}, "Base answers none of these facts; give --known prompt or"),
        ({"efficacy": 0.0, "generalization": 0.0}, "Base answers none"),
        ({"specificity": None, "retain": None}, "nothing that is to be kept is measured; give --retain_num"),
        ({"specificity": 0.0, "retain": None}, "nothing that is to be kept"),
    ],
)
def test_facts_of_which_no_trial_can_tell_anything_are_told_after_the_first(base, words):
    seen = []

    def measure(one):
        seen.append(one)
        found = summary(50, 50)
        return found | {"base": found["base"] | base}

    start = started("MEMIT", hparams("MEMIT"))
    with pytest.raises(UserError, match=words):
        climb(start, axes("MEMIT", start, 5, 28), measure)
    assert seen == [start]


def test_trials_that_score_nothing_on_facts_that_base_knows_are_all_made():
    start = started("MEMIT", hparams("MEMIT"))
    only = {"generalization": 0.0, "specificity": 0.0}  # one figure of each kind is enough
    nothing = summary(100, 0)
    trials = climb(start, axes("MEMIT", start, 5, 28), lambda _: nothing | {"base": nothing["base"] | only})
    assert [trial.score for trial in trials] == [0.0] * TRIALS


def log_of(trials):
    of_run = {"unlearn_num": 10, "seed": 100}
    for trial in trials:
        trial.summary.update(of_run if trial.summary else {})
    return table("AlphaEdit", [], "layers 5 (told)", trials, trials[0])


@pytest.mark.parametrize(
    ("start", "traced", "tried"),
    [
        ([4, 5, 6], 9, [[4, 5, 6], [9], [3]]),
        ([4, 5, 6], 6, [[4, 5, 6], [6], [3]]),
        ([4, 5, 6], 3, [[4, 5, 6], [3], [8]]),
        ([6], 9, [[6], [9], [3]]),
        ([3], 3, [[3], [8], [14]]),
    ],
)
def test_layers_are_those_of_the_start_of_the_trace_and_another_depth(start, traced, tried):
    at_start = started("MEMIT", hparams("MEMIT")).model_copy(update={"layers": start})
    assert axes("MEMIT", at_start, traced, 28)["layers"] == tried
    assert all(issubclass(method(name).HParams, LayerHParams) for name in AXES)


def test_the_score_is_the_harmonic_mean_of_forgotten_and_kept():
    assert score(**sides(summary(0, 100))) == 100
    assert score(**sides(summary(100, 100))) == 0 == score(**sides(summary(0, 0)))
    assert score(**sides(summary(50, 100))) == pytest.approx(100 * 2 * 0.5 * 1 / 1.5)
    assert score(**sides(summary(0, 100, ppl=20))) == pytest.approx(100 * 2 * 0.5 / 1.5)
    assert score(**sides(summary(0, 100, ppl=5))) == 100  # a better PPL makes up for nothing


def test_what_was_not_measured_does_not_count_and_a_broken_model_scores_nothing():
    only = {"efficacy": 50, "specificity": 80}
    assert score({**only, "retain": None}, {"efficacy": 0, "specificity": 80, "retain": None}) == 100
    assert score(only, {"efficacy": float("nan"), "specificity": 80}) == 0
    assert score(only, {"efficacy": None, "specificity": None}) == 0


def sides(one):
    return {"base": one["base"], "unlearned": one["unlearned"]}
