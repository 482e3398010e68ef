#!/usr/bin/env bash
# Write requirements*.lock anew: what the lists pin and all that those packages need, with versions and hashes.
# Needs uv (pip install uv) and a network; run it after every change of a list, and commit what it writes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
trap 'rm -f requirements*.lock.new' EXIT

# Torch comes in builds (CPU, CUDA, ROCm) that share a version and have other hashes and other needs. It pins what only
# its builds need (CUDA's libraries, triton) itself, so that its own pin in requirements.txt decides those, too.
without_torch() {
    awk '/^[^ ]/ { kept = $0 !~ /^(torch|triton|nvidia-|cuda-)/ } kept'
}

lock() { # list, then what it has to agree with
    {
        echo "# Written by sh/lock.sh from $1.txt: every package but torch and what is part of it (see there)."
        uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
            "$1.txt" "${@:2}" | without_torch
    } >"$1.lock.new"
    mv "$1.lock.new" "$1.lock"
}

lock requirements
lock requirements-dev --constraint requirements.txt --constraint requirements.lock
lock requirements-extra --constraint requirements.txt --constraint requirements.lock --constraint requirements-dev.lock
lock requirements-real --constraint requirements.txt --constraint requirements.lock --constraint requirements-extra.lock
