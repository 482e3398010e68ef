#!/usr/bin/env bash
# Unlearn N facts with METHOD on every data set over several seeds, and print the table.
#
#   bash sh/run.sh METHOD N                                  METHOD: one, a comma list, or "all"
#   MODELS=SmolLM2-135M-Instruct bash sh/run.sh METHOD N     a small real model, fetched by name, on facts that it knows
#   MODEL_DIR=/path/to/models bash sh/run.sh …               the published grid instead of the embedded world
set -euo pipefail

MODEL_DIR="${MODEL_DIR:-}"       # folder that holds the models' folders; empty: the embedded world, or MODELS by name
DEVICE="${DEVICE:-auto}"
RESULTS_DIR="${RESULTS_DIR:-}"   # empty: results/
KNOWN="${KNOWN:-}"               # empty: any; of small real models strict
one_seed_on_a_cpu() { if [ "$DEVICE" = cpu ] || ! nvidia-smi -L >/dev/null 2>&1; then echo 0; else echo 0 1 2; fi; }
if [ -n "$MODEL_DIR" ]; then
    MODELS="${MODELS:-Llama-3.1-8B-Instruct Llama-3.2-3B-Instruct Qwen3-4B}"
    DATASETS="${DATASETS:-zsre mquake mcf}"
    SEEDS="${SEEDS:-1 2 3 4 5 6 7 8 9 10}"
    RETAIN_NUM="${RETAIN_NUM:-1000}"
elif [ "${MODELS:=world}" = world ]; then
    DATASETS="${DATASETS:-mcf zsre mquake}"
    SEEDS="${SEEDS:-0 1 2}"
    RETAIN_NUM="${RETAIN_NUM:-500}"   # leaves facts of the retain pool for methods that train on some
else
    DATASETS="${DATASETS:-real}"
    SEEDS="${SEEDS:-$(one_seed_on_a_cpu)}"
    RETAIN_NUM="${RETAIN_NUM:-100}"   # a small model knows a few hundred facts, and half of them are the retain pool
    KNOWN="${KNOWN:-strict}"
    use_cache=--use_cache           # Base's scores are kept
fi

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

for python in ${VIRTUAL_ENV:+"$VIRTUAL_ENV/bin/python"} python3 python python3.1{4,3,2,1}; do   # any will do: this loads no package
    known="$("$python" -c 'from baselines.registry import METHODS; print(*METHODS)' 2>/dev/null)" && break
done
[ -n "${known:-}" ] || fail "no Python 3.11 or newer found; install one, or activate an environment that has it"
usage="usage: bash sh/run.sh METHOD N, METHOD one of: $known (a comma list and 'all' work too)"
[ $# -eq 2 ] && [ -n "${1//[, ]/}" ] || fail "$usage"
[[ "$2" =~ ^[1-9][0-9]*$ ]] || fail "N is '$2'; give a whole number of facts, 1 or more; $usage"
for method in ${1//,/ }; do
    case " all $known " in
        *" $method "*) ;;
        *) fail "unknown method '$method'; choose from: $known or all" ;;
    esac
done

lists=(requirements.txt)
fetched=()
for model in ${MODELS//,/ }; do
    gguf="$("$python" -c '
import sys
from util import paths
place = paths.model_dir(sys.argv[1], sys.argv[2])
print(*paths.gguf_files(place) if place else ())
' "$model" "$MODEL_DIR")"
    [ -z "$gguf" ] || lists=(requirements.txt requirements-real.txt)
    [ -z "$MODEL_DIR${ZEROUNLEARN_MODELS:-}" ] || continue   # a named folder has its models
    [ ! -e "$model" ] && [ ! -e "$ROOT/models/$model" ] || continue
    terms="$("$python" -c '
import sys
from util.published_models import PUBLISHED
print(*(f"{one.licence} ({one.terms})" if one.terms else "free" for one in PUBLISHED if one.name == sys.argv[1]))
' "$model")"
    [ -n "$terms" ] || continue   # a hub id, which is fetched when it is loaded
    [ "$terms" = free ] || [ -n "${ACCEPT_LICENCE:-}" ] ||
        fail "$model comes under the $terms; read them, and if you accept them, give ACCEPT_LICENCE=1 too"
    fetched+=("$model")
    lists=(requirements.txt requirements-real.txt)
done

set_up "${lists[@]}"
for model in ${fetched[@]+"${fetched[@]}"}; do
    "$PYTHON" "$ROOT/experiments/get_model.py" "$model" ${ACCEPT_LICENCE:+--accept_licence} >&2
done
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"   # threads that spin while they wait slow a shared machine down
exec "$PYTHON" "$ROOT/experiments/sweep.py" --methods ${1//,/ } --unlearn_num "$2" --retain_num "$RETAIN_NUM" \
    --models ${MODELS//,/ } --datasets ${DATASETS//,/ } --seeds ${SEEDS//,/ } --device "$DEVICE" --eval_retain \
    ${KNOWN:+--known "$KNOWN"} ${use_cache:-} ${RESULTS_DIR:+--results_dir "$RESULTS_DIR"} \
    ${MODEL_DIR:+--model_path_dir "$MODEL_DIR" --gpus auto}
