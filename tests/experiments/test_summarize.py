import json

import pytest

from experiments.summarize import main
from tests.experiments.test_table import body, summary
from util.errors import UserError


def put(folder, name, number, **values):
    run = folder / name / f"m_mcf_seed{values['seed']}_run_{number:03d}"
    run.mkdir(parents=True)
    (run / "summary.json").write_text(json.dumps(summary(name, retain_num=3, **values)), encoding="utf-8")


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


@pytest.mark.parametrize("argv", [["--methods", "Foo"], ["--methods", "ROME"]])
def test_nothing_to_show(tmp_path, argv):
    with pytest.raises(UserError, match=argv[1]):
        main(["--results_dir", str(tmp_path), *argv])
