"""The shell scripts: refusals before anything is installed, the choice of an environment, the grid that is started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from baselines.registry import METHODS
from util.paths import root

VARIABLES = (
    *("MODEL_DIR", "MODELS", "DATASETS", "SEEDS", "RETAIN_NUM", "RESULTS_DIR", "DEVICE", "VIRTUAL_ENV", "KNOWN"),
    *("ACCEPT_LICENCE", "ZEROUNLEARN_MODELS"),
)
RECORDER = """#!/usr/bin/env bash
[ "$1" != - ] || [ -z "${ASKED-}" ] || basename -a "${@:3}" >"$ASKED"
[ "$1" = - ] || printf "%s\\n" "$@"
[ -z "${FAILING-}" ] || [ "$2" != "$FAILING" ]
"""
"""Stands in for Python: has every package, prints what it is asked to run, and fails at the module FAILING.
The lists whose packages it was asked for are in the file ASKED."""


def bash(*command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    python = folder / "python"
    python.write_text(RECORDER, encoding="utf-8")
    python.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    environment |= {"PATH": f"{folder}:{environment['PATH']}", **variables}
    return subprocess.run(["bash", *command], check=False, capture_output=True, text=True, env=environment, cwd=folder)


def run_sh(*arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    return bash(str(root() / "sh" / "run.sh"), *arguments, folder=folder, **variables)


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["Foo", "50"], "'Foo'"),
        (["ROME,Foo", "50"], "'Foo'"),
        (["ROME", "0"], "'0'"),
        (["ROME", "many"], "'many'"),
        (["ROME"], "usage"),
        ([",", "3"], "usage"),
        ([" ", "3"], "usage"),
        ([], "usage"),
    ],
)
def test_wrong_input_is_one_line_with_the_valid_names(tmp_path, arguments, culprit):
    done = run_sh(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and culprit in done.stderr
    assert all(name in done.stderr for name in METHODS)


def test_the_worlds_grid_by_default(tmp_path):
    done = run_sh("ZeroUnlearn", "50", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    script, *flags = done.stdout.splitlines()
    assert Path(script) == root() / "experiments" / "sweep.py"
    assert " ".join(flags) == (
        "--methods ZeroUnlearn --unlearn_num 50 --retain_num 500 --models world --datasets mcf zsre mquake "
        "--seeds 0 1 2 --device auto --eval_retain"
    )


def test_the_published_grid_with_model_dir(tmp_path):
    done = run_sh("all", "5", folder=tmp_path, MODEL_DIR="/with a space", RESULTS_DIR="my results", SEEDS="1,2")
    flags = done.stdout.splitlines()
    assert flags[flags.index("--model_path_dir") + 1] == "/with a space"
    assert flags[flags.index("--results_dir") + 1] == "my results"
    assert flags[flags.index("--seeds") + 1 : flags.index("--device")] == ["1", "2"]
    assert flags[flags.index("--datasets") + 1 : flags.index("--seeds")] == ["zsre", "mquake", "mcf"]
    assert flags[-2:] == ["--gpus", "auto"]


@pytest.mark.parametrize("failing", ["", "ruff", "mypy", "pytest"])
def test_whatever_fails_fails_the_tests(tmp_path, failing):
    done = bash(str(root() / "sh" / "test.sh"), folder=tmp_path, FAILING=failing)
    assert (done.returncode == 0) == (failing == "")
    said = [word for word in done.stdout.splitlines() if word in ("ruff", "mypy", "pytest")]
    assert said == (["ruff"] if failing == "ruff" else ["ruff", "ruff", "pytest", "mypy"])


@pytest.fixture
def checkout(tmp_path):
    """The shell scripts and what run.sh reads, in a checkout that has fetched no model."""
    folder = tmp_path / "checkout"
    for name in ("sh", "baselines", "util", "zerounlearn"):
        shutil.copytree(root() / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_a_published_model_is_fetched_and_its_grid_is_small(tmp_path, checkout):
    def started(**variables):
        done = bash(str(checkout / "sh" / "run.sh"), "ROME", "20", folder=tmp_path, DEVICE="cpu", **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[1:], done.stderr.splitlines()

    flags, fetched = started(MODELS="SmolLM2-135M-Instruct")
    assert fetched == [str(checkout / "experiments" / "get_model.py"), "SmolLM2-135M-Instruct"]
    assert " ".join(flags) == (
        "--methods ROME --unlearn_num 20 --retain_num 100 --models SmolLM2-135M-Instruct --datasets real --seeds 0 "
        "--device cpu --eval_retain --known strict --use_cache"
    )
    own = {"DATASETS": "pararel", "SEEDS": "3 4", "RETAIN_NUM": "7", "KNOWN": "prompt"}
    flags, _ = started(MODELS="SmolLM2-135M-Instruct", **own)
    assert " ".join(flags) == (
        "--methods ROME --unlearn_num 20 --retain_num 7 --models SmolLM2-135M-Instruct --datasets pararel --seeds 3 4 "
        "--device cpu --eval_retain --known prompt --use_cache"
    )
    (checkout / "models" / "SmolLM2-135M-Instruct").mkdir(parents=True)
    assert not started(MODELS="SmolLM2-135M-Instruct")[1], "a model that is there is not fetched again"
    assert not started(MODELS="owner/name")[1], "the hub's models are fetched when they are loaded"
    assert not started(MODELS="gemma-3-270m", ZEROUNLEARN_MODELS="elsewhere")[1]


PLACES = {
    "a file": ("one.gguf", "{}/one.gguf", {}),
    "a folder": ("folder/one.gguf", "{}/folder", {}),
    "under MODEL_DIR": ("m/name/one.gguf", "name", {"MODEL_DIR": "{}/m"}),
    "a file under MODEL_DIR": ("m/one.gguf", "one.gguf", {"MODEL_DIR": "{}/m"}),
    "the last of several": ("m/name/one.gguf", "other,name", {"MODEL_DIR": "{}/m"}),
    "under ZEROUNLEARN_MODELS": ("m/name/one.gguf", "name", {"ZEROUNLEARN_MODELS": "{}/m"}),
    "by its place beside ZEROUNLEARN_MODELS": ("folder/one.gguf", "{}/folder", {"ZEROUNLEARN_MODELS": "{}/m"}),
}


@pytest.mark.parametrize(("file", "model", "variables"), PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("beside", ["nothing", "safetensors"])
def test_an_environment_reads_gguf_wherever_a_models_file_lies(tmp_path, file, model, variables, beside):
    """Only where it is read: safetensors beside it go first."""
    path = tmp_path / "with a space" / file
    path.parent.mkdir(parents=True)
    path.touch()
    if beside == "safetensors":
        path.with_name("model.safetensors").touch()
    linked = tmp_path / "link"  # MODELS is split at spaces
    linked.symlink_to(tmp_path / "with a space")
    where = {name: value.format(tmp_path / "with a space") for name, value in variables.items()}
    named = {"MODELS": model.format(linked), "ASKED": str(tmp_path / "asked"), "DEVICE": "cpu"}
    done = run_sh("ROME", "20", folder=tmp_path, **named, **where)
    assert done.returncode == 0, done.stderr
    needed = beside == "nothing" or model.endswith(".gguf")
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["requirements.txt", *(["requirements-real.txt"] if needed else [])]


def test_terms_are_accepted_by_whoever_starts_the_run(tmp_path, checkout):
    def started(**variables):
        return bash(str(checkout / "sh" / "run.sh"), "ROME", "20", folder=tmp_path, MODELS="gemma-3-270m", **variables)

    refused = started()
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "Gemma Terms of Use (https://" in refused.stderr and "ACCEPT_LICENCE=1" in refused.stderr
    accepted = started(ACCEPT_LICENCE="1")
    assert accepted.returncode == 0 and accepted.stderr.splitlines()[1:] == ["gemma-3-270m", "--accept_licence"]


@pytest.mark.parametrize(
    ("line", "usable"),
    [
        ("pytest", True),
        ("pytest[dev]==9.2.0", True),
        ("# a remark", True),
        ("torch==0.0.1", False),
        ("transformers==0.0.1", False),
        ("tqdm==0.0.1", True),
        ("no-such-package==1.0", False),
        ("no-such-package==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:00", True),
        ("tqdm==4.70.1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01", True),
    ],
)
def test_an_environment_is_usable_if_it_has_the_packages(tmp_path, line, usable):
    listed = tmp_path / "list.txt"
    listed.write_text(line + "\n", encoding="utf-8")
    question = f'source {root()}/sh/setup.sh; has_packages some "{sys.executable}" "{listed}"'
    assert (bash("-c", question, folder=tmp_path).returncode == 0) is usable


OWN = """#!/usr/bin/env bash
case "$*" in
    "-c "*|"-m pip --version") exec "$WORKING" ;;
    "- "*) exit 1 ;;
    *) echo "$0 $*" ;;
esac
"""
"""Stands in for a Python that lacks the packages."""


@pytest.mark.parametrize("works", [True, False])
def test_an_environment_of_ours_is_filled_if_it_works_and_made_anew_if_not(tmp_path, works):
    lists = tmp_path / "repository" / "list"
    own = tmp_path / "repository" / ".venv" / "bin"
    own.mkdir(parents=True)
    for name, working in ((own / "python", works), (tmp_path / "python", True), (tmp_path / "python3", True)):
        name.write_text(OWN.replace("$WORKING", "true" if working else "false"), encoding="utf-8")
        name.chmod(0o755)
    (tmp_path / "repository" / "sh").mkdir()
    (tmp_path / "repository" / "sh" / "setup.sh").write_bytes((root() / "sh" / "setup.sh").read_bytes())
    for list_or_lock in ("list.txt", "list.lock"):
        (tmp_path / "repository" / list_or_lock).touch()
    done = subprocess.run(
        ["bash", "-c", "source repository/sh/setup.sh; set_up list.txt; echo using $PYTHON"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"using {own / 'python'}\n"
    assert ("-m venv --clear" in done.stderr) is not works
    quietly = " -m pip install --quiet --no-compile "
    installs = [line.partition(quietly)[2] for line in done.stderr.splitlines() if "install -" in line]
    assert installs == [f"--no-deps --require-hashes --requirement={lists}.lock", f"--requirement={lists}.txt"]
