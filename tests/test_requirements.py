"""A complaint that tells to install from a requirements file is about a package which that file names."""

import ast
import re
from collections.abc import Iterator

from tests.floors import modules
from util.paths import root


def complaints() -> Iterator[tuple[str, str, str]]:
    """(place, package, requirements file) of every ``if <package is not there>: raise ...`` that names such a file."""
    for name, path in modules(root()).items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for raised in getattr(node, "body", []) if isinstance(node, ast.If) else []:
                for file in re.findall(
                    r"requirements[\w-]*\.txt", _text(raised) if isinstance(raised, ast.Raise) else ""
                ):
                    yield f"{name}:{raised.lineno}", _package(node.test), file


def _text(node: ast.AST) -> str:
    return " ".join(
        part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and str(part.value) == part.value
    )


def _package(test: ast.AST) -> str:
    """Of ``find_spec("x") is None`` or ``not is_x_available()``."""
    found = re.search(r"find_spec\('(\w+)'\)|is_(\w+)_available\(\)", ast.unparse(test))
    return (found[1] or found[2]) if found else ""


def listed(file: str) -> set[str]:
    lines = (root() / file).read_text(encoding="utf-8").splitlines()
    return {re.split(r"[\[=<>~!; ]", line)[0].casefold().replace("-", "_") for line in lines if line.strip()}


def test_what_is_to_be_installed_is_in_the_file():
    found = list(complaints())
    assert {package for _, package, _ in found} >= {"accelerate", "matplotlib", "lm_eval"}
    assert [(place, package, file) for place, package, file in found if package not in listed(file)] == []
