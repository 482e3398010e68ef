"""The wheel holds what the checkout does: code, hparams and the embedded model, found from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.build import build_wheel

from tests.floors import modules
from util.paths import root


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the wheel's content, as an installation lays it out."""
    built, folder = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("installed")
    before = Path.cwd()
    os.chdir(root())
    try:
        name = build_wheel(str(built))
    finally:
        os.chdir(before)
    zipfile.ZipFile(built / name).extractall(folder)
    return folder


def files(folder: Path) -> set[str]:
    """The files of the folders that are installed, seen from there."""
    folders = {path.relative_to(root()).parts[0] for path in modules(root()).values()} | {"hparams"}
    found = (path for name in folders for path in (folder / name).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in found if "__pycache__" not in path.parts}


def test_code_hparams_and_data_are_in_it_and_nothing_else(installed):
    inside = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert {name for name in inside if ".dist-info/" not in name} == files(root())
    assert {"hparams/ROME/world.json", "dsets/world/model/model.safetensors", "experiments/evaluate.py"} <= inside


USE = """
from pathlib import Path
import zerounlearn
from util import paths
from util.modeling import load

model, tokenizer = load("world", None, "cpu", "float32")
zerounlearn.HParams.from_json(paths.hparams_dir() / "ZeroUnlearn" / "world.json")
print(Path(zerounlearn.__file__).parent.parent, paths.data_dir(), sep="\\n")
"""


def test_it_works_from_another_folder(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", USE], check=False, capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(installed), str(tmp_path / "data")]
