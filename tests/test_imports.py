"""The floors hold: every module of the tree is checked, new packages too, imports inside functions too."""

import re
from pathlib import Path

import pytest

from tests.floors import breaches, cycle, floor, misdeeds, modules, opens_files
from util.paths import root

pytestmark = pytest.mark.untraced

MODULES = modules(root())


def test_floors_hold():
    assert breaches(root()) == []


def test_no_cycles():
    assert cycle(root()) == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_importing_has_no_side_effects(module):
    assert misdeeds(MODULES[module]) == []


@pytest.mark.parametrize("module", [name for name in sorted(MODULES) if floor(name, "").name == "floor 0"])
def test_floor_0_touches_no_files(module):
    assert opens_files(MODULES[module]) == []


def test_our_code_pads_by_itself():
    """No tokenizer is asked to pad, or for its side: one side of it in a test is as good as the other."""
    asking = re.compile(r"padding_side|\bpadding=|tokenizer\.pad\(")
    assert [name for name, path in MODULES.items() if asking.search(path.read_text(encoding="utf-8"))] == []


# --- the checks themselves


def tree(folder: Path, **files: str) -> Path:
    """A repository of the given files; two underscores in a name stand for a folder."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("files", "breach"),
    [
        ({"util__linalg": "import transformers"}, "util.linalg (floor 0) imports transformers"),
        ({"util__linalg": "from util import paths", "util__paths": ""}, "util.linalg (floor 0) imports util.paths"),
        (
            {"util__paths": "import util.editing", "util__editing__keys": ""},
            "util.paths (floor 1) imports util.editing",
        ),
        ({"util__editing__keys": "import dsets", "dsets__x": ""}, "util.editing.keys (floor 2) imports dsets"),
        ({"new__solve": "from new.apply import f", "new__apply": ""}, "new.solve (floor 0) imports new.apply"),
        ({"new__apply": "import dsets", "dsets__x": ""}, "new.apply (a method) imports dsets"),
        ({"b__x__apply": "from b.y import z", "b__y__z": ""}, "b.x.apply (a method) imports b.y.z"),
        ({"b__x__apply": "from ..y import z", "b__y__z": ""}, "b.x.apply (a method) imports b.y.z"),
        ({"b__x__solve": "from b.y.solve import f", "b__y__solve": ""}, "b.x.solve (floor 0) imports b.y.solve"),
        ({"dsets__x": "def f():\n    import torch"}, "dsets.x (dsets) imports torch"),
        ({"dsets__x": "import util.tokens", "util__tokens": ""}, "dsets.x (dsets) imports util.tokens"),
        (
            {"experiments__measuring__metrics": "import dsets", "dsets__x": ""},
            "experiments.measuring.metrics (floor 0) imports dsets",
        ),
        (
            {"experiments__measuring__x": "import experiments.running.y", "experiments__running__y": ""},
            "experiments.measuring.x (floor 4) imports experiments.running.y",
        ),
        (
            {"experiments__running__x": "from experiments import sweep", "experiments__sweep": ""},
            "experiments.running.x (floor 5) imports experiments.sweep",
        ),
        (
            {"util__x": "import baselines.registry", "baselines__registry": ""},
            "util.x (floor 1) imports baselines.registry",
        ),
    ],
)
def test_breaches_are_found(tmp_path, files, breach):
    assert breach in breaches(tree(tmp_path, **files))


def test_allowed_imports_pass(tmp_path):
    tree(
        tmp_path,
        util__linalg="import math, torch\nfrom util.errors import UserError",
        util__errors="",
        util__editing__keys="from util import linalg\nimport transformers",
        new__apply="from new.solve import f\nfrom util.editing import keys\nfrom . import solve",
        new__solve="import torch",
        new__gd__apply="from new.gd.solve import g",
        new__gd__solve="",
        dsets__x="from util.request import Request\ndef f():\n    import pyarrow.parquet",
        util__request="",
        experiments__run="import dsets.x, new.apply, matplotlib",
    )
    assert breaches(tmp_path) == [] and cycle(tmp_path) == []


def test_cycles_are_found(tmp_path):
    tree(tmp_path, a__x="from a import y", a__y="def f():\n    from b import z", b__z="import a.x")
    assert cycle(tmp_path) == ["a.x", "a.y", "b.z", "a.x"]


@pytest.mark.parametrize(
    "text",
    [
        "DATA = open('x').read()",
        "class A:\n    table = json.load(f)",
        "if True:\n    x = [Path('x').read_text() for _ in y]",
        "def f(x=torch.load('y')): pass",
        "from math import *",
        "def f():\n    global x",
        "@functools.lru_cache(maxsize=1)\ndef f(): pass",
        "@cache\ndef f(): pass",
    ],
)
def test_misdeeds_are_found(tmp_path, text):
    assert len(misdeeds(tree(tmp_path, x=text) / "x.py")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return open('x')",
        "f = lambda: open('x')",
        "if __name__ == '__main__':\n    open('x')",
        "x = {1: 2}",
    ],
)
def test_innocent_modules_pass(tmp_path, text):
    assert misdeeds(tree(tmp_path, x=text) / "x.py") == []


def test_files_on_floor_0_are_found(tmp_path):
    assert len(opens_files(tree(tmp_path, x="import math\nfrom pathlib import Path\nimport os.path") / "x.py")) == 2
