# Sourced by run.sh and test.sh: find or make a Python environment with the pinned packages.
#
#   set_up requirements.txt [more.txt …]     sets PYTHON
#
# An active environment is used as it is when it has every package that is listed, and torch, transformers and pydantic
# in the pinned versions. Otherwise .venv is made, unless it is there and works, and filled: first with what the lists'
# locks name (requirements.lock beside requirements.txt, …), whose versions and hashes must hold, then with torch, which
# is not in them because its builds differ (lock.sh).

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"   # the folders of this checkout, in whatever environment

fail() {
    echo "error: $*" >&2
    exit 2
}

has_packages() { # all|some python list…: "all" pins must hold, or only those of the packages whose behaviour matters
    "$2" - "$1" "${@:3}" 2>/dev/null <<'PY'
import importlib.metadata
import sys

exact = {"torch", "transformers", "pydantic"}
assert sys.version_info >= (3, 11)
for path in sys.argv[2:]:
    for line in open(path):
        name, _, wanted = line.partition("#")[0].rstrip(" \\\n").partition("==")
        if name and not name.startswith(" ") and ";" not in wanted:  # no hash, nothing for other systems only
            found = importlib.metadata.version(name.partition("[")[0]).partition("+")[0]
            assert found == wanted or (sys.argv[1] == "some" and name not in exact)
PY
}

newest_python() {
    local candidate
    for candidate in python3 python python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer with venv and ensurepip found; install one, or activate an environment that has it"
}

set_up() {
    local lists=("${@/#/$ROOT/}") candidate
    local locks=("${lists[@]/%.txt/.lock}")
    for candidate in ${VIRTUAL_ENV:+"$VIRTUAL_ENV/bin/python"} python python3; do
        if has_packages some "$candidate" "${lists[@]}"; then
            PYTHON="$candidate"
            return
        fi
    done
    PYTHON="$ROOT/.venv/bin/python"
    if has_packages all "$PYTHON" "${lists[@]}" "${locks[@]}"; then
        return
    fi
    if ! "$PYTHON" -m pip --version >/dev/null 2>&1; then
        candidate="$(newest_python)"
        "$candidate" -m venv --clear "$ROOT/.venv" >&2 || fail "$candidate cannot make $ROOT/.venv"
    fi
    echo "installing into $ROOT/.venv: $*" >&2
    # Bytecode is left to the first import: half of the time goes into compiling what nobody ever imports.
    "$PYTHON" -m pip install --quiet --no-compile --no-deps --require-hashes "${locks[@]/#/--requirement=}" >&2 &&
        "$PYTHON" -m pip install --quiet --no-compile "${lists[@]/#/--requirement=}" >&2 ||
        fail "the packages could not be installed; see above"
}
