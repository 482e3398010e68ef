"""sweep.py over several models and GPUs: which processes are started, and which sweeps run here."""

import os

import pytest

from experiments import sweep
from experiments.running.script_settings import SweepSettings
from experiments.running.sweeping import grid
from util.errors import UserError


def parse(argv):
    return SweepSettings.parse(argv, "sweep.py", None)


def jobs(line):
    return [job for part in sweep.per_model(parse(line.split())) for job in sweep.jobs_of(part)]


def named(job):
    """The report's name without the digest of the paths."""
    return job.report.rpartition("_")[0]


def test_jobs_cover_the_grid_once():
    found = jobs("--models a dir/b --datasets mcf zsre --seeds 1 2 --methods all --no-eval_retain --num_edits 3")
    parsed = [parse(job.command[2:]) for job in found]
    done = {(one.model_name, *one.datasets, *one.seeds) for one in parsed}
    assert done == {(model, data, seed) for model in ("a", "dir/b") for data in ("mcf", "zsre") for seed in (1, 2)}
    assert len(parsed) == 8
    assert [(job.model, job.report) for job in found] == [(one.model_name, one.report) for one in parsed]
    assert len({one.report for one in parsed}) == 8
    assert all(one.quiet and one.methods == ("all",) and not one.eval_retain for one in parsed)
    assert all(one.num_edits == 3 and one.models is None and one.gpus == "none" for one in parsed)


def test_paths_that_end_alike_have_reports_of_their_own():
    reports = {job.report for job in jobs("--models x/m y/m --datasets a/facts.json b/facts.json --seeds 0")}
    assert len(reports) == 4 and all(report.count("/") == 1 for report in reports)


def test_models_are_named_one_way():
    with pytest.raises(UserError, match="--models and --model_name"):
        parse("--models a --model_name b".split())


@pytest.fixture
def seen(monkeypatch):
    """What is launched (model, data set, seed), and which sweeps run here."""
    found = []
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(name, "before")
    monkeypatch.setattr(grid, "sweep", found.append)
    monkeypatch.setattr(grid, "report_of", lambda settings, reports: found.append((settings.report, len(reports))))
    monkeypatch.setattr(sweep, "launch", lambda jobs, gpus: found.append(([named(job) for job in jobs], gpus)) or [])
    return found


def test_one_device_means_one_sweep_per_model_in_this_process(seen):
    sweep.main("--models a b --seeds 4 --methods ROME --unlearn_num 3".split())
    assert [(one.model_name, one.seeds, one.methods, one.unlearn_num) for one in seen] == [
        ("a", (4,), ("ROME",), 3),
        ("b", (4,), ("ROME",), 3),
    ]
    assert len({one.report for one in seen}) == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "before"


def test_a_single_gpu_is_the_one_that_this_process_sees(seen):
    sweep.main("--models a --gpus 3".split())
    assert [one.model_name for one in seen] == ["a"]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_several_gpus_do_each_models_first_run_before_the_others_and_load_no_model_for_the_table(seen):
    sweep.main("--models a b --datasets mcf --seeds 1 2 3 --gpus 0,1".split())
    assert seen == [
        ([".grid/b_mcf_1", ".grid/a_mcf_1"], ["0", "1"]),
        ([".grid/a_mcf_2", ".grid/a_mcf_3", ".grid/b_mcf_2", ".grid/b_mcf_3"], ["0", "1"]),
        ("table_a", 3),
        ("table_b", 3),
    ]


def test_several_gpus_share_the_runs_of_one_model(seen):
    sweep.main("--datasets mcf --seeds 1 2 --gpus 0,1".split())
    assert seen == [([".grid/world_mcf_1"], ["0", "1"]), ([".grid/world_mcf_2"], ["0", "1"]), ("table", 2)]


def test_a_model_with_a_failed_process_is_swept_here(seen, monkeypatch):
    monkeypatch.setattr(sweep, "launch", lambda jobs, gpus: [job for job in jobs if named(job) == ".grid/b_mcf_2"])
    sweep.main("--models a b --datasets mcf --seeds 1 2 --gpus 0,1".split())
    assert seen[0] == ("table_a", 2)
    assert seen[1].model_name == "b" and seen[1].seeds == (1, 2)


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_a_named_device_is_used_as_it_is(seen, device):
    sweep.main(f"--models a --gpus auto --device {device}".split())
    assert seen[0].device == device
    with pytest.raises(UserError, match="contradict"):
        sweep.main(f"--models a --gpus 0,1 --device {device}".split())
