"""The benchmark compares what it says it compares, and finds equal results on both sides."""

import json

from experiments import benchmark


def test_every_comparison_on_the_embedded_model(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "MOMENT_DOCUMENTS", 12)
    benchmark.main(["--facts", "2", "--device", "cpu", "--json", str(tmp_path / "numbers.json")])
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert set(numbers) == set(benchmark.WORK)
    assert numbers["targets"]["relative_difference"] < 1e-4
    assert numbers["moments"]["relative_difference"] < 1e-4
    assert numbers["solve"]["relative_difference"] < 1e-6
    assert numbers["growth"]["facts"] == 8
    printed = capsys.readouterr().out
    assert "targets of 2 facts" in printed
    assert printed.count("x faster") == 3
