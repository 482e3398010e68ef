import json
import os

import pytest

from experiments.summarize import main
from tests.experiments.running.test_table import body, summary
from util.errors import UserError


def put(folder, name, number, hparams=None, flags=None, time=0, **values):
    run = folder / name / f"m_mcf_seed{values['seed']}_run_{number:03d}"
    run.mkdir(parents=True)
    content = {"run": {"arguments": flags or {}}, "params": hparams or {}, "summary": summary(name, **values)}
    for file, value in content.items():
        (run / f"{file}.json").write_text(json.dumps(value), encoding="utf-8")
    os.utime(run / "summary.json", (time, time))


def test_the_newest_run_of_each_counts(tmp_path, capsys):
    put(tmp_path, "MEMIT", 0, seed=0, value=9.0)
    put(tmp_path, "MEMIT", 1, seed=0, value=2.0)
    put(tmp_path, "MEMIT", 0, seed=1, value=4.0)
    put(tmp_path, "ZeroUnlearn", 0, seed=0, value=1.0)
    (tmp_path / "MEMIT" / ".partial-m_mcf_seed5-1").mkdir()
    main(["--results_dir", str(tmp_path)])
    rows = body(capsys.readouterr().out)[2:]
    assert [row[0] for row in rows] == ["Base", "ZeroUnlearn", "MEMIT"]
    assert rows[2][1] == "3.00 ± 1.00"
    main(["--results_dir", str(tmp_path), "--methods", "MEMIT"])
    assert [row[0] for row in body(capsys.readouterr().out)[2:]] == ["Base", "MEMIT"]


@pytest.mark.parametrize("other", [{"hparams": {"wiki_KKT_lam": 0}}, {"flags": {"retain_num": 20}}])
def test_runs_of_other_settings_are_left_out_with_a_warning(tmp_path, capsys, caplog, other):
    for seed in (0, 1):
        put(tmp_path, "ZeroUnlearn", 0, seed=seed, value=1.0, time=2)
        put(tmp_path, "ZeroUnlearn", 1, seed=seed, value=50.0, time=1, **other)
    put(tmp_path, "MEMIT", 0, seed=0, value=7.0, **other)
    main(["--results_dir", str(tmp_path)])
    rows = body(capsys.readouterr().out)[2:]
    assert [(row[0], row[1]) for row in rows[1:]] == [("ZeroUnlearn", "1.00 ± 0.00"), ("MEMIT", "7.00")]
    (warning,) = caplog.messages
    assert "ZeroUnlearn, " in warning and "2 runs with other hparams or flags" in warning


@pytest.mark.parametrize("argv", [["--methods", "Foo"], ["--methods", "ROME"]])
def test_nothing_to_show(tmp_path, argv):
    with pytest.raises(UserError, match=argv[1]):
        main(["--results_dir", str(tmp_path), *argv])
