"""The house's sizes: files, functions and folders stay small, and a folder of scripts holds scripts."""

import ast
from collections import Counter

import pytest

from tests.floors import modules
from util.paths import root

MODULES = modules(root())
FILE_LINES, FUNCTION_LINES, SCRIPT_LINES = 300, 60, 150
HELPERS = {"__init__", "_checkout"}


@pytest.mark.untraced
@pytest.mark.parametrize("module", sorted(MODULES))
def test_files_and_functions_are_short(module):
    text = MODULES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= FILE_LINES
    long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= FUNCTION_LINES
    ]
    assert long == []


def test_the_root_of_experiments_holds_scripts_only():
    scripts = [path for path in (root() / "experiments").glob("*.py") if path.stem not in HELPERS]
    assert scripts
    for path in scripts:
        text = path.read_text(encoding="utf-8")
        functions = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
        assert len(text.splitlines()) <= SCRIPT_LINES, path
        assert functions["main"].args.args[0].arg == "argv", path
        assert 'if __name__ == "__main__":\n    cli(main)' in text, path


def test_nothing_reaches_for_the_path():
    assert [module for module, path in MODULES.items() if "sys.path.insert" in path.read_text("utf-8")] == []


def test_a_file_name_means_one_thing():
    """But for the names that every package of their kind has."""
    common = {"__init__", "edit", "hparams", "solve"}
    names = Counter(path.stem for path in MODULES.values() if path.stem not in common)
    assert [name for name, count in names.items() if count > 1] == []
