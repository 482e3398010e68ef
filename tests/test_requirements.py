"""What is to be installed is said alike everywhere: in complaints, requirements files, pyproject.toml and the locks."""

import ast
import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.floors import modules
from util.paths import root

GROUPS = {
    "requirements": [None],
    "requirements-dev": ["dev"],
    "requirements-extra": ["downstream", "plots", "real", "peft"],
    "requirements-real": ["real"],
}
"""List → the groups of pyproject.toml that it holds; None: what is always needed."""

NOT_LOCKED = {"torch"}
"""Its builds share a version and have other hashes (sh/lock.sh)."""


def complaints() -> Iterator[tuple[str, str, str]]:
    """(place, package, requirements file) of every ``if <package is not there>: raise ...`` that names such a file."""
    for name, path in modules(root()).items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            for raised in getattr(node, "body", []) if isinstance(node, ast.If) else []:
                said = " ".join(_strings(raised)) if isinstance(raised, ast.Raise) else ""
                for file in re.findall(r"requirements[\w-]*\.txt", said):
                    for package in _packages(node.test, tree):
                        yield f"{name}:{raised.lineno}", package, file


def _strings(node: ast.AST) -> list[str]:
    return [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def _packages(test: ast.AST, tree: ast.Module) -> list[str]:
    """Of ``find_spec("x") is None`` or ``not is_x_available()``, else what the module lists as NEEDED.

    "", which is in no file, where it is neither.
    """
    found = re.findall(r"find_spec\('(\w+)'\)|is_(\w+)_available\(\)", ast.unparse(test))
    listed = [node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NEEDED"]
    return ["".join(names) for names in found] or [name for node in listed for name in _strings(node)] or [""]


def pins(lines: list[str]) -> dict[str, str]:
    """Package → version, of lines ``name==version``, whatever follows; names in one spelling."""
    found = [re.match(r"([\w.-]+)==([\w.!+]+)", line) for line in lines]
    return {pin[1].casefold().replace("-", "_"): pin[2] for pin in found if pin}


def listed(file: str) -> dict[str, str]:
    return pins((root() / file).read_text(encoding="utf-8").splitlines())


def test_what_is_to_be_installed_is_in_the_file():
    found = list(complaints())
    assert {package for _, package, _ in found} >= {"accelerate", "gguf", "matplotlib", "lm_eval"}
    assert [(place, package, file) for place, package, file in found if package not in listed(file)] == []


@pytest.mark.parametrize("name", GROUPS)
def test_a_list_holds_what_pyproject_asks_for(name):
    project = tomllib.loads((root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = project["optional-dependencies"] | {None: project["dependencies"]}
    assert set(asked) == {group for groups in GROUPS.values() for group in groups}
    lines = [line for group in GROUPS[name] for line in asked[group]]
    assert listed(f"{name}.txt") == pins(lines) and len(set(lines)) == len(pins(lines))


@pytest.mark.parametrize("name", GROUPS)
def test_a_lock_holds_its_list_and_a_hash_for_all(name):
    wanted = {package: pin for package, pin in listed(f"{name}.txt").items() if package not in NOT_LOCKED}
    assert wanted.items() <= listed(f"{name}.lock").items()
    packages = re.split(r"\n(?=\w)", (root() / f"{name}.lock").read_text(encoding="utf-8"))[1:]
    assert packages and [text for text in packages if "--hash=sha256:" not in text] == []


def test_locks_agree():
    pinned = [(package, pin) for name in GROUPS for package, pin in listed(f"{name}.lock").items()]
    assert len(set(pinned)) < len(pinned) and len(set(pinned)) == len(dict(pinned))


def test_the_back_end_is_the_pinned_one():
    project = tomllib.loads((root() / "pyproject.toml").read_text(encoding="utf-8"))
    assert pins(project["build-system"]["requires"]).items() <= listed("requirements-dev.txt").items()
