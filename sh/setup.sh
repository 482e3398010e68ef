# Sourced by run.sh and test.sh: find or make a Python environment with the pinned packages.
#
#   set_up requirements.txt [more.txt …]     sets PYTHON
#
# An active environment is used as it is when it has every package that is listed, and torch, transformers and pydantic
# in the pinned versions. Otherwise .venv is made once and filled; a marker with the lists' hash makes the next start quick.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

fail() {
    echo "error: $*" >&2
    exit 2
}

is_usable() { # python list…
    "$1" - "${@:2}" 2>/dev/null <<'PY'
import importlib.metadata
import sys

exact = {"torch", "transformers", "pydantic"}
assert sys.version_info >= (3, 11)
for path in sys.argv[1:]:
    for line in open(path):
        name, _, wanted = line.partition("#")[0].strip().partition("==")
        if name:
            found = importlib.metadata.version(name.partition("[")[0]).partition("+")[0]
            assert found == wanted or name not in exact
PY
}

newest_python() {
    local candidate
    for candidate in python3 python python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer found; install one, or activate an environment that has it"
}

set_up() {
    local lists=("${@/#/$ROOT/}") candidate marker
    for candidate in ${VIRTUAL_ENV:+"$VIRTUAL_ENV/bin/python"} python python3; do
        if is_usable "$candidate" "${lists[@]}"; then
            PYTHON="$candidate"
            return
        fi
    done
    PYTHON="$ROOT/.venv/bin/python"
    marker="$ROOT/.venv/installed-$(cat "${lists[@]}" | cksum | cut -d' ' -f1)"
    if [ -e "$marker" ] && [ -x "$PYTHON" ]; then
        return
    fi
    candidate="$(newest_python)"
    echo "making $ROOT/.venv with the packages of: $*" >&2
    "$candidate" -m venv "$ROOT/.venv" >&2 || fail "$candidate cannot make $ROOT/.venv; install Python's venv module"
    "$PYTHON" -m pip install --quiet "${lists[@]/#/--requirement=}" >&2 || fail "the packages could not be installed; see above"
    touch "$marker"
}
