"""The grid over models and GPUs, with processes that only say what they were given."""

import sys

import pytest

from experiments import grid, sweep
from util.errors import UserError

TELL = "import os, sys; open(sys.argv[1], 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])"


def test_every_command_sees_one_gpu(tmp_path):
    files = [tmp_path / str(i) for i in range(5)]
    assert grid.launch([[sys.executable, "-c", TELL, str(file)] for file in files], ["3", "5"]) == 0
    assert {file.read_text() for file in files} <= {"3", "5"}


def test_failures_are_counted_and_free_their_gpu():
    commands = [[sys.executable, "-c", f"raise SystemExit({code})"] for code in (0, 2, 1)]
    assert grid.launch(commands, ["0"]) == 2


def test_nothing_to_launch():
    assert grid.launch([], ["0"]) == 0


def test_jobs_cover_the_grid_once_and_each_model_has_a_first():
    flags, others = grid.parse("--models a dir/b --datasets mcf zsre --seeds 1 2 --methods all".split())
    assert others == ["--methods", "all"]
    first, rest = grid.jobs(flags, others)
    parsed = [sweep.parse(command[2:]) for command in first + rest]
    assert [flags.model_name for flags in parsed[:2]] == ["a", "dir/b"]
    assert len(first) == 2
    done = {(one.model_name, *one.datasets, *one.seeds) for one in parsed}
    assert done == {(model, data, seed) for model in ("a", "dir/b") for data in ("mcf", "zsre") for seed in (1, 2)}
    assert len(parsed) == 8
    assert len({one.report for one in parsed}) == 8
    assert all(one.quiet and one.methods == ["all"] for one in parsed)


def test_one_device_means_one_sweep_per_model_in_this_process(monkeypatch):
    seen = []
    monkeypatch.setattr(sweep, "main", lambda argv: seen.append(sweep.parse(argv)))
    grid.main("--models a b --seeds 4 --methods ROME --unlearn_num 3".split())
    assert [(one.model_name, one.seeds, one.methods, one.unlearn_num) for one in seen] == [
        ("a", [4], ["ROME"], 3),
        ("b", [4], ["ROME"], 3),
    ]
    assert len({one.report for one in seen}) == 2


def test_several_gpus_first_run_the_jobs(monkeypatch):
    seen = []
    monkeypatch.setattr(sweep, "main", lambda argv: seen.append("sweep"))
    monkeypatch.setattr(grid, "launch", lambda commands, gpus: seen.append((len(commands), gpus)) or 0)
    grid.main("--models a --datasets mcf --seeds 1 2 3 --gpus 0,1".split())
    assert seen == [(1, ["0", "1"]), (2, ["0", "1"]), "sweep"]


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
