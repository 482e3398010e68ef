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


def test_every_module_and_every_hparams_file_is_in_it(installed):
    wanted = [path for path in modules(root()).values() if path.parent != root()]
    wanted += (root() / "hparams").rglob("*.json")
    assert [path for path in wanted if not (installed / path.relative_to(root())).is_file()] == []


def test_nothing_else_is_in_it(installed):
    folders = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"}
    assert folders == {"util", "zerounlearn", "baselines", "dsets", "experiments", "hparams"}
    assert list(installed.rglob("__pycache__")) == []


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
