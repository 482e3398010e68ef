"""The grid over models and GPUs, with processes that only say what they were given."""

import os
import sys

import pytest

from experiments import grid, sweep
from util.errors import UserError

TELL = """
import os, sys
open(sys.argv[1], "w").write(os.environ["CUDA_VISIBLE_DEVICES"] + " " + os.environ["CUDA_DEVICE_ORDER"])
"""


def job(code, *argv, model="m"):
    return grid.Job(model, "report", (sys.executable, "-c", code, *argv))


def named(job):
    """The report's name without the digest of the paths."""
    return job.report.rpartition("_")[0]


def test_every_command_sees_one_gpu(tmp_path):
    files = [tmp_path / str(i) for i in range(5)]
    assert grid.launch([job(TELL, str(file)) for file in files], ["3", "5"]) == []
    assert {file.read_text() for file in files} <= {"3 PCI_BUS_ID", "5 PCI_BUS_ID"}


def test_failures_are_told_and_free_their_gpu():
    jobs = [job(f"raise SystemExit({code})") for code in (0, 2, 1)]
    assert grid.launch(jobs, ["0"]) == jobs[1:]


def test_nothing_to_launch():
    assert grid.launch([], ["0"]) == []


def test_jobs_cover_the_grid_once():
    flags, others = grid.parse("--models a dir/b --datasets mcf zsre --seeds 1 2 --methods all".split())
    assert others == ["--methods", "all"]
    jobs = grid.plan(flags, others)
    parsed = [sweep.parse(job.command[2:]) for job in jobs]
    done = {(one.model_name, *one.datasets, *one.seeds) for one in parsed}
    assert done == {(model, data, seed) for model in ("a", "dir/b") for data in ("mcf", "zsre") for seed in (1, 2)}
    assert len(parsed) == 8
    assert [(job.model, job.report) for job in jobs] == [(one.model_name, one.report) for one in parsed]
    assert len({one.report for one in parsed}) == 8
    assert all(one.quiet and one.methods == ["all"] for one in parsed)


def test_paths_that_end_alike_have_reports_of_their_own():
    flags, _ = grid.parse("--models x/m y/m --datasets a/facts.json b/facts.json --seeds 0".split())
    reports = {job.report for job in grid.plan(flags, [])}
    assert len(reports) == 4 and all(report.count("/") == 1 for report in reports)


@pytest.fixture
def seen(monkeypatch):
    """What is launched (model, data set, seed), and which sweeps run here."""
    found = []
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(name, "before")
    monkeypatch.setattr(sweep, "main", lambda argv: found.append(sweep.parse(argv)))
    monkeypatch.setattr(sweep, "report_of", lambda flags, reports: found.append((flags.report, len(reports))))
    monkeypatch.setattr(grid, "launch", lambda jobs, gpus: found.append(([named(job) for job in jobs], gpus)) or [])
    return found


def test_one_device_means_one_sweep_per_model_in_this_process(seen):
    grid.main("--models a b --seeds 4 --methods ROME --unlearn_num 3".split())
    assert [(one.model_name, one.seeds, one.methods, one.unlearn_num) for one in seen] == [
        ("a", [4], ["ROME"], 3),
        ("b", [4], ["ROME"], 3),
    ]
    assert len({one.report for one in seen}) == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "before"


def test_a_single_gpu_is_the_one_that_this_process_sees(seen):
    grid.main("--models a --gpus 3".split())
    assert [one.model_name for one in seen] == ["a"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_several_gpus_do_each_models_first_run_before_the_others_and_load_no_model_for_the_table(seen):
    grid.main("--models a b --datasets mcf --seeds 1 2 3 --gpus 0,1".split())
    assert seen == [
        ([".grid/b_mcf_1", ".grid/a_mcf_1"], ["0", "1"]),
        ([".grid/a_mcf_2", ".grid/a_mcf_3", ".grid/b_mcf_2", ".grid/b_mcf_3"], ["0", "1"]),
        ("table_a", 3),
        ("table_b", 3),
    ]


def test_a_model_with_a_failed_process_is_swept_here(seen, monkeypatch):
    monkeypatch.setattr(grid, "launch", lambda jobs, gpus: [job for job in jobs if named(job) == ".grid/b_mcf_2"])
    grid.main("--models a b --datasets mcf --seeds 1 2 --gpus 0,1".split())
    assert seen[0] == ("table_a", 2)
    assert seen[1].model_name == "b" and seen[1].seeds == [1, 2]


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_named_device_is_used_as_it_is(seen, device):
    grid.main(f"--models a --gpus auto --device {device}".split())
    assert seen[0].device == device
    with pytest.raises(UserError, match="contradict"):
        grid.main(f"--models a --gpus 0,1 --device {device}".split())


@pytest.mark.parametrize("wanted", ["x", "0,,1", "0,0", "-1"])
def test_gpus_that_are_no_list(wanted):
    with pytest.raises(UserError, match="--gpus"):
        grid.choose_gpus(wanted)


def test_free_gpus(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0, 10, 1000\\n1, 900, 1000\\n2, 0, 1000\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert grid.choose_gpus("auto") == ["0", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    assert grid.free_gpus() == ["2"]
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert grid.free_gpus() == []


def test_no_gpus_without_a_driver(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert grid.choose_gpus("auto") == []
