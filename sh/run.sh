#!/usr/bin/env bash
# Unlearn N facts with METHOD on every data set over several seeds, and print the table.
#
#   bash sh/run.sh METHOD N                        METHOD: one, a comma list, or "all"
#   MODEL_DIR=/path/to/models bash sh/run.sh …     the published grid instead of the embedded world
set -euo pipefail

MODEL_DIR="${MODEL_DIR:-}"       # folder that holds the models' folders; empty: the embedded world
if [ -z "$MODEL_DIR" ]; then
    MODELS="${MODELS:-world}"
    DATASETS="${DATASETS:-mcf zsre mquake}"
    SEEDS="${SEEDS:-0 1 2}"
    RETAIN_NUM="${RETAIN_NUM:-500}"   # leaves facts of the retain pool for methods that train on some
else
    MODELS="${MODELS:-Llama-3.1-8B-Instruct Llama-3.2-3B-Instruct Qwen3-4B}"
    DATASETS="${DATASETS:-zsre mquake mcf}"
    SEEDS="${SEEDS:-1 2 3 4 5 6 7 8 9 10}"
fi
RETAIN_NUM="${RETAIN_NUM:-1000}"
RESULTS_DIR="${RESULTS_DIR:-}"   # empty: results/
DEVICE="${DEVICE:-auto}"

source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

for python in ${VIRTUAL_ENV:+"$VIRTUAL_ENV/bin/python"} python3 python python3.1{4,3,2,1}; do   # any will do: this loads no package
    known="$("$python" -c 'from baselines.registry import METHODS; print(*METHODS)' 2>/dev/null)" && break
done
[ -n "${known:-}" ] || fail "no Python 3.11 or newer found; install one, or activate an environment that has it"
usage="usage: bash sh/run.sh METHOD N, METHOD one of: $known (a comma list and 'all' work too)"
[ $# -eq 2 ] || fail "$usage"
[[ "$2" =~ ^[1-9][0-9]*$ ]] || fail "N is '$2'; give a whole number of facts, 1 or more; $usage"
for method in ${1//,/ }; do
    case " all $known " in
        *" $method "*) ;;
        *) fail "unknown method '$method'; choose from: $known or all" ;;
    esac
done

set_up requirements.txt
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"   # threads that spin while they wait slow a shared machine down
exec "$PYTHON" "$ROOT/experiments/sweep.py" --methods ${1//,/ } --unlearn_num "$2" --retain_num "$RETAIN_NUM" \
    --models ${MODELS//,/ } --datasets ${DATASETS//,/ } --seeds ${SEEDS//,/ } --device "$DEVICE" --eval_retain \
    ${RESULTS_DIR:+--results_dir "$RESULTS_DIR"} ${MODEL_DIR:+--model_path_dir "$MODEL_DIR" --gpus auto}
