"""GPUs of a machine, and processes that only say what they were given."""

import sys

import pytest

from experiments.running.sweeping import gpus
from util.errors import UserError

TELL = """
import os, sys
open(sys.argv[1], "w").write(os.environ["CUDA_VISIBLE_DEVICES"] + " " + os.environ["CUDA_DEVICE_ORDER"])
"""


def job(code, *argv, model="m"):
    return gpus.Job(model, "report", (sys.executable, "-c", code, *argv))


def test_every_command_sees_one_gpu(tmp_path):
    files = [tmp_path / str(i) for i in range(5)]
    assert gpus.launch([job(TELL, str(file)) for file in files], ["3", "5"]) == []
    assert {file.read_text() for file in files} <= {"3 PCI_BUS_ID", "5 PCI_BUS_ID"}


def test_failures_are_told_and_free_their_gpu():
    jobs = [job(f"raise SystemExit({code})") for code in (0, 2, 1)]
    assert gpus.launch(jobs, ["0"]) == jobs[1:]


def test_nothing_to_launch():
    assert gpus.launch([], ["0"]) == []


@pytest.mark.parametrize("wanted", ["x", "0,,1", "0,0", "-1"])
def test_gpus_that_are_no_list(wanted):
    with pytest.raises(UserError, match="--gpus"):
        gpus.choose_gpus(wanted)


def test_free_gpus(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0, 10, 1000\\n1, 900, 1000\\n2, 0, 1000\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.choose_gpus("auto") == ["0", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    assert gpus.free_gpus() == ["2"]
    tool.write_text("#!/bin/sh\nprintf '1, [N/A], [N/A]\\n2, 0, 1000\\n'\n")
    assert gpus.free_gpus() == ["2"], "what a divided or lost GPU has in use is not told"
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert gpus.free_gpus() == []


def test_no_gpus_without_a_driver(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.choose_gpus("auto") == []
