"""Every script answers --help without loading torch, runs from a checkout that is not installed, and has --verbose."""

import subprocess
import sys

import pytest

from util.paths import root

SCRIPTS = sorted(path.name for path in (root() / "experiments").glob("[a-z]*.py"))

TELL_WHAT_IS_LOADED = """
import runpy, sys
try:
    sys.path[0] = sys.argv.pop(1)  # as python does for a script
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print({"torch", "transformers", "datasets", "pyarrow"} & set(sys.modules))
"""


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_loads_nothing_slow(name, tmp_path):
    script = root() / "experiments" / name
    code = TELL_WHAT_IS_LOADED.replace("sys.argv[0]", repr(str(script)))
    done = subprocess.run(
        [sys.executable, "-c", code, str(script.parent), "--help"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {name}") and "--verbose" in done.stdout
    assert done.stdout.endswith("set()\n")
