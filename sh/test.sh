#!/usr/bin/env bash
# Linters, types and the whole test suite with its coverage, in the environment that run.sh uses.
#
#   bash sh/test.sh [pytest's arguments]     with arguments: without coverage, because a part reaches a part
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up requirements.txt requirements-dev.txt requirements-extra.txt
cd "$ROOT"
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}" OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"   # a process per core
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
[ $# -gt 0 ] || set -- -p tests.foreign --cov --cov-report=term
types="$(mktemp)"
trap 'rm -f "$types"' EXIT
"$PYTHON" -m mypy >"$types" 2>&1 &   # beside the tests, and told after them
status=0
# A file's tests stay in one process, which makes their fixtures once.
"$PYTHON" -m pytest -q -n auto --maxprocesses 8 --dist loadfile "$@" || status=$?
wait $! || status=$?
cat "$types"
exit "$status"
