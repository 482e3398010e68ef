"""What decides a run's numbers: every setting is sorted, and whatever decides changes the key."""

import pytest

from baselines.base import HParams as NoParameters
from experiments.running import identity, versions
from experiments.running.arguments import flag_of
from experiments.running.identity import Identity
from experiments.running.script_settings import SweepSettings
from experiments.running.settings import EvaluateSettings, RunSettings
from util.errors import UserError

HASHES = {"model": "m", "tokenizer": "t", "data": "d", "corpus": "c", "ppl_text": ["none", ""]}

OTHER = {
    "dtype": "float16",
    "unlearn_num": 7,
    "retain_num": 7,
    "eval_retain": False,
    "dataset_size_limit": 7,
    "num_edits": 7,
    "neutral_target": "unknown",
    "mom2_tolerance": 0.5,
    "skip_generation_tests": True,
    "compat": "published",
    "downstream_eval_steps": 7,
    "known": "strict",
    "max_per_relation": 7,
    "part": "table",
    "chat_template": "user",
    "alg_name": "FT",
    "seed": 7,
}
"""Another value for every setting that decides."""


def record(hashes=HASHES, hparams=None, **changes):
    return Identity(EvaluateSettings.checked(**changes), hparams or NoParameters(), hashes).record()


@pytest.mark.parametrize("settings", [EvaluateSettings, SweepSettings])
def test_a_setting_decides_or_has_a_reason_not_to(settings):
    for name, field in settings.model_fields.items():
        flag = flag_of(field)
        assert flag.help and (flag.decides == "nothing") == bool(flag.reason), name


def test_every_deciding_setting_is_in_the_key_and_no_other():
    deciding = {name for name, field in RunSettings.model_fields.items() if flag_of(field).decides != "nothing"}
    assert deciding == OTHER.keys() and set(record()["decided_by"]["settings"]) == deciding
    assert record() == record(device="cpu", quiet=True, results_dir="x", save_model="y", batch_tokens=9)


@pytest.mark.parametrize("name", OTHER)
def test_what_decides_changes_the_keys_that_hang_on_it(name):
    before, after = record(), record(**{name: OTHER[name]})
    of_base = flag_of(RunSettings.model_fields[name]).decides == "base"
    assert before["run"] != after["run"]
    assert (before["base"] != after["base"]) == of_base
    assert (before["row"] != after["row"]) == (name != "seed")
    assert (before["block"] != after["block"]) == (of_base and name != "seed")


@pytest.mark.parametrize("name", HASHES)
def test_every_hash_counts_and_base_hangs_on_all_but_the_statistics(name):
    before, after = record(), record(HASHES | {name: "other"})
    assert before["run"] != after["run"] and before["row"] != after["row"]
    assert (before["base"] != after["base"]) == (before["block"] != after["block"]) == (name != "corpus")


@pytest.mark.parametrize(
    ("place", "name", "of_base"),
    [(versions, "SCORING", True), (identity, "METHOD", False), (versions, "version", True)],
)
def test_the_code_counts(monkeypatch, place, name, of_base):
    before = record()
    monkeypatch.setattr(place, name, (lambda package: f"another {package}") if name == "version" else -1)
    after = record()
    assert before["run"] != after["run"] and before["row"] != after["row"]
    assert (before["base"] != after["base"]) == of_base


def test_settings_and_their_command_line_say_the_same():
    made = SweepSettings.checked(seeds=(3, 4), eval_retain=False, downstream_eval_steps=2, downstream_tasks=("rte",))
    assert SweepSettings.parse(made.arguments(), "sweep.py", None) == made
    assert SweepSettings.checked().arguments() == []


def test_wrong_settings_are_one_line_wherever_they_come_from():
    for changes, words in (({"unlearn_num": 0}, "--unlearn_num 0: give at least 1"), ({"seed": "x"}, "--seed 'x'")):
        with pytest.raises(UserError, match=words):
            RunSettings.checked(**changes)
    with pytest.raises(UserError, match="--retain_num -1"):
        RunSettings.checked().changed(retain_num=-1)
