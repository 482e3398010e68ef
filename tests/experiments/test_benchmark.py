"""The benchmark compares what it says it compares, and finds equal results on both sides."""

import json

import pytest

from experiments import benchmark
from experiments.benchmarking.work import WORK
from util import modeling
from util.errors import UserError


def test_every_comparison_on_the_embedded_model(tmp_path, capsys):
    benchmark.main(["--facts", "2", "--documents", "12", "--device", "cpu", "--json", str(tmp_path / "numbers.json")])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert set(numbers) == set(WORK)
    assert numbers["targets"]["relative_difference"] < 1e-4
    assert numbers["moments"]["relative_difference"] < 1e-4
    assert numbers["solve"]["relative_difference"] < 1e-6
    assert numbers["growth"]["facts"] == 8
    shares = [numbers["without_search"][f"{kind}_share"] for kind in ("one_step", "ignorance")]
    assert all(0 < share < 1 for share in shares) and numbers["without_search"]["search_seconds"] > 0
    printed = capsys.readouterr().out
    assert "targets of 2 facts:" in printed and "targets of 2 facts without a search: search" in printed
    assert printed.count("x faster") == 3


@pytest.mark.parametrize(
    "flags",
    [["--facts=0"], ["--documents=0"], ["--work=everything"], ["--hparams_fname=none.json"], ["--ds_name=none.json"]],
)
def test_wrong_input_is_told_before_the_model_is_loaded(flags, monkeypatch):
    monkeypatch.setattr(modeling, "load", None)
    with pytest.raises(UserError, match="facts|documents|everything|none.json"):
        benchmark.main(flags)


def test_a_folder_for_the_measurements_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(modeling, "load", None)
    with pytest.raises(UserError, match="is a folder; name a file with --json"):
        benchmark.main([f"--json={tmp_path}"])
