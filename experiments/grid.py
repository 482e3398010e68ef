"""Sweeps of several models, on one device after another or with one run per free GPU; what sh/run.sh starts.

    python experiments/grid.py --models Llama-3.1-8B-Instruct Llama-3.2-3B-Instruct --model_path_dir /models \\
        --methods all --datasets zsre mquake mcf --seeds 1 2 3 --gpus auto

Flags not listed here go to sweep.py as they are. With several GPUs every (model, data set, seed) is a process of its
own that sees one GPU; the first of each model runs before its others, so that statistics are measured once. The sweeps
at the end find their runs finished and print the tables; they make up for processes that failed.
"""

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from queue import SimpleQueue

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tqdm import tqdm

from experiments import sweep
from util import paths
from util.errors import UserError
from util.modeling import WORLD
from util.runs import Parser, cli

log = logging.getLogger("zerounlearn")

FREE_SHARE = 0.1
"""A GPU counts as free while less than this share of its memory is in use."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the grid and print one table per model."""
    flags, others = parse(argv)
    gpus = choose_gpus(flags.gpus)
    if len(gpus) > 1:
        first, rest = jobs(flags, others)
        failures = launch(first, gpus) + launch(rest, gpus)
        if failures:
            log.warning("%d processes failed; their runs are done now, one after another", failures)
    for model in flags.models:
        report = [] if len(flags.models) == 1 else ["--report", f"table_{Path(model).name}"]
        sweep.main(sweep_flags(model, flags.datasets, flags.seeds) + others + report)


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """(what the grid runs over, flags for sweep.py)."""
    parser = Parser(prog="grid.py", description=__doc__)
    parser.add_argument("--models", nargs="+", default=[WORLD], help="as --model_name (default: the embedded model)")
    parser.add_argument("--datasets", nargs="+", default=["mcf", "zsre", "mquake"], help="as in sweep.py")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="as in sweep.py")
    parser.add_argument(
        "--gpus", default="none", help="auto (the free ones), 0,2,… or none: no process per GPU (default)"
    )
    return parser.parse_known_args(argv)


def sweep_flags(model: str, datasets: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """The part of sweep.py's command line that a grid decides."""
    return ["--model_name", model, "--datasets", *datasets, "--seeds", *map(str, seeds)]


def jobs(flags: argparse.Namespace, others: Sequence[str]) -> tuple[list[list[str]], list[list[str]]]:
    """Commands of one (model, data set, seed) each: the first of every model, and all the others."""
    first, rest = [], []
    for model in flags.models:
        for number, (data, seed) in enumerate(product(flags.datasets, flags.seeds)):
            name = f"{Path(model).name}_{Path(data).stem}_{seed}"
            command = [sys.executable, str(paths.root() / "experiments" / "sweep.py")]
            command += [*sweep_flags(model, [data], [seed]), *others, "--quiet", "--report", f".grid/{name}"]
            (rest if number else first).append(command)
    return first, rest


def launch(commands: Sequence[Sequence[str]], gpus: Sequence[str]) -> int:
    """Run every command with one GPU visible to it, at most one at a time on each. Returns how many failed."""
    free: SimpleQueue[str] = SimpleQueue()
    for gpu in gpus:
        free.put(gpu)

    def work(command: Sequence[str]) -> bool:
        gpu = free.get()
        try:
            environment = os.environ | {"CUDA_VISIBLE_DEVICES": gpu}
            done = subprocess.run(command, check=False, env=environment, stdout=subprocess.DEVNULL)
        finally:
            free.put(gpu)
        if done.returncode:
            log.error("exit code %d on GPU %s: %s", done.returncode, gpu, " ".join(command[1:]))
        return done.returncode != 0

    with ThreadPoolExecutor(len(gpus)) as pool:
        return sum(tqdm(pool.map(work, commands), total=len(commands), desc=f"runs on {len(gpus)} GPUs"))


def choose_gpus(wanted: str) -> list[str]:
    """Indices of the GPUs to use. Raises UserError for a list that is none."""
    if wanted == "none":
        return []
    if wanted == "auto":
        return free_gpus()
    gpus = wanted.split(",")
    if not all(gpu.isdigit() for gpu in gpus) or len(set(gpus)) < len(gpus):
        raise UserError(f"--gpus {wanted!r}: give none, auto, or different numbers with commas between them (0,1)")
    return gpus


def free_gpus() -> list[str]:
    """GPUs that nearly nothing runs on, among those that CUDA_VISIBLE_DEVICES leaves visible; none without a driver."""
    query = ["nvidia-smi", "--query-gpu=index,memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        listed = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    rows = [[part.strip() for part in line.split(",")] for line in listed.splitlines() if line.strip()]
    free = [index for index, used, total in rows if float(used) < FREE_SHARE * float(total)]
    return [index for index in free if visible is None or index in visible.split(",")]


if __name__ == "__main__":
    cli(main)
