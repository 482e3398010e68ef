import json
import os

import pytest

from experiments.reporting.costs import STAGES
from experiments.summarize import main
from tests.experiments.reporting.test_table import body, summary
from util.errors import UserError


def put(folder, name, number, row="row", block="block", time=0, **values):
    run = folder / name / f"m_mcf_seed{values['seed']}_run_{number:03d}"
    run.mkdir(parents=True)
    content = {"run": {"identity": {"row": row, "block": block}}, "summary": summary(name, **values)}
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


def test_runs_of_another_identity_are_left_out_with_a_warning(tmp_path, capsys, caplog):
    for seed in (0, 1):
        put(tmp_path, "ZeroUnlearn", 0, seed=seed, value=1.0, time=2)
        put(tmp_path, "ZeroUnlearn", 1, seed=seed, value=50.0, time=1, row="other")
    put(tmp_path, "MEMIT", 0, seed=0, value=7.0, row="other")
    main(["--results_dir", str(tmp_path)])
    rows = body(capsys.readouterr().out)[2:]
    assert [(row[0], row[1]) for row in rows[1:]] == [("ZeroUnlearn", "1.00 ± 0.00"), ("MEMIT", "7.00")]
    (warning,) = caplog.messages
    assert "ZeroUnlearn, " in warning and "2 runs with other hparams" in warning


def test_rows_with_another_base_stand_in_a_table_of_their_own(tmp_path, capsys, caplog):
    put(tmp_path, "ZeroUnlearn", 0, seed=0, value=1.0, block="a" * 64)
    put(tmp_path, "ZeroUnlearn", 1, seed=1, value=3.0, block="b" * 64)
    main(["--results_dir", str(tmp_path)])
    out = capsys.readouterr().out
    assert "1 seed, Base aaaaaaaa" in out and "1 seed, Base bbbbbbbb" in out
    assert [row[1] for row in body(out) if row[0] == "ZeroUnlearn"] == ["1.00", "3.00"]
    assert caplog.messages == []


def test_runs_that_do_not_say_what_decided_them_are_left_out(tmp_path, caplog):
    put(tmp_path, "MEMIT", 0, seed=0, value=1.0)
    (tmp_path / "MEMIT" / "m_mcf_seed0_run_000" / "run.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="no finished run"):
        main(["--results_dir", str(tmp_path)])
    assert "1 runs of an earlier version" in caplog.text


@pytest.mark.parametrize("argv", [["--methods", "Foo"], ["--methods", "ROME"]])
def test_nothing_to_show(tmp_path, argv):
    with pytest.raises(UserError, match=argv[1]):
        main(["--results_dir", str(tmp_path), *argv])


def test_the_method_that_others_are_compared_with_is_one_of_the_rows(tmp_path):
    put(tmp_path, "MEMIT", 0, seed=0, value=1.0)
    with pytest.raises(UserError, match="--against FT is not among --methods MEMIT"):
        main(["--results_dir", str(tmp_path), "--methods", "MEMIT", "--against", "FT"])


def test_costs_are_seconds_over_seeds_and_the_highest_peak(tmp_path, capsys):
    for name, peaks_of in (("MEMIT", "this run"), ("FT", "the process up to the end of this run")):
        for seed, scale in ((0, 1.0), (1, 3.0)):
            seconds = {stage: scale * (number + 1) for number, stage in enumerate(STAGES)}
            put(tmp_path, name, seed, seed=seed, value=0.0, seconds=seconds, peak_memory_bytes=int(scale * 1.5e9))
            note = tmp_path / name / f"m_mcf_seed{seed}_run_{seed:03d}" / "run.json"
            note.write_text(json.dumps(json.loads(note.read_text()) | {"peak_memory_of": peaks_of}), encoding="utf-8")
    main(["--results_dir", str(tmp_path), "--costs"])
    table = capsys.readouterr().out.split("\n\n")[-1]
    heading, _, *rows = body(table)
    assert heading[1:] == [*(f"{stage}, s" for stage in STAGES), "peak, GB", "runs"]
    seconds = [f"{2.0 * (number + 1):.1f} ± {number + 1.0:.1f}" for number in range(len(STAGES))]
    assert rows == [["MEMIT", *seconds, "4.5", "2"], ["FT", *seconds, "≤ 4.5", "2"]]


def test_a_folder_for_the_picture_is_told(tmp_path):
    (tmp_path / "picture.svg").mkdir()
    with pytest.raises(UserError, match="is a folder; name a file with --plot"):
        main(["--results_dir", str(tmp_path), "--plot", str(tmp_path / "picture.svg")])
