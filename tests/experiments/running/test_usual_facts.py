"""Where no data set is named: one rule for every script whose numbers are part of no published table."""

import pytest

import dsets
from experiments.requests.unlearning.unlearn_settings import UnlearnSettings
from experiments.running.script_settings import FactsSettings, SweepSettings
from experiments.running.settings import RunSettings
from util.choices import WORLD

SCRIPTS = sorted(FactsSettings.__subclasses__(), key=lambda settings: settings.__name__)


@pytest.mark.parametrize("settings", SCRIPTS)
def test_the_worlds_own_or_those_that_are_shipped(settings):
    assert settings.parse([], "script.py", "").ds_name == "mcf"
    assert settings.parse(["--model_name", "my-model"], "script.py", "").ds_name == "real"
    assert settings.parse(["--model_name", "my-model", "--ds_name", "zsre"], "script.py", "").ds_name == "zsre"
    made = settings.checked(model_name="my-model")
    assert settings.parse(made.arguments(), "script.py", "") == made == made.changed(quiet=False)


def test_the_scripts_that_ask_for_facts_share_the_rule_and_the_tables_keep_theirs():
    names = {settings.__name__.removesuffix("Settings") for settings in SCRIPTS}
    assert names == {"Arrivals", "Benchmark", "CausalTrace", "KnownFacts", "Tune", "ValueGeometry"}
    for model, name in ((WORLD, "mcf"), ("my-model", "real")):
        assert UnlearnSettings.checked(model_name=model, requests="-", dry_run=True).watched == name
        assert RunSettings.checked(model_name=model).ds_name == "mcf"
        assert SweepSettings.checked(model_name=model).datasets == ("mcf", "zsre", "mquake")


@pytest.mark.parametrize("world", [True, False])
def test_they_are_there_without_a_download(world, monkeypatch, tmp_path):
    monkeypatch.setattr(dsets, "fetch", lambda *_: pytest.fail("fetched"))
    assert dsets.load(dsets.usual(world=world), tmp_path, world=world).records
