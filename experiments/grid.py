"""Sweeps of several models, on one device after another or with one run per free GPU; what sh/run.sh starts.

    python experiments/grid.py --models Llama-3.1-8B-Instruct Llama-3.2-3B-Instruct --model_path_dir /models \\
        --methods all --datasets zsre mquake mcf --seeds 1 2 3 --gpus auto

Flags not listed here go to sweep.py as they are. With several GPUs every (model, data set, seed) is a process of its
own that sees one GPU; the first of each model runs before its others, so that statistics are measured once. The tables
are put together from what the processes report; where some failed, one sweep makes up for them.
"""

import argparse
import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from queue import SimpleQueue

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tqdm import tqdm

from experiments import sweep
from experiments.running.arguments import seed_number
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
    gpus = choose_gpus(flags.gpus, device_of(others))
    failed: set[str] = set(flags.models)
    if len(gpus) > 1:
        jobs = plan(flags, others)
        first = {job.model: job for job in reversed(jobs)}.values()
        failed = {
            job.model for some in (first, [job for job in jobs if job not in first]) for job in launch(some, gpus)
        }
    if gpus:
        os.environ.update(one_gpu(gpus[0]))
    for model in flags.models:
        report = "table" if len(flags.models) == 1 else f"table_{Path(model).name}"
        own = [*sweep_flags(model, flags.datasets, flags.seeds), *others, "--report", report]
        if model in failed:
            sweep.main(own)
        else:
            sweep.report_of(sweep.parse(own), [job.report for job in jobs if job.model == model])


@dataclass(frozen=True)
class Job:
    """One process: a sweep over one model, data set and seed. report: the name it gives its report."""

    model: str
    report: str
    command: tuple[str, ...]


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """(what the grid runs over, flags for sweep.py)."""
    parser = Parser(prog="grid.py", description=__doc__)
    parser.add_argument("--models", nargs="+", default=[WORLD], help="as --model_name (default: the embedded model)")
    parser.add_argument("--datasets", nargs="+", default=["mcf", "zsre", "mquake"], help="as in sweep.py")
    parser.add_argument("--seeds", nargs="+", type=seed_number, default=[0, 1, 2], help="as in sweep.py")
    parser.add_argument(
        "--gpus", default="none", help="auto (the free ones), 0,2,… or none: no process per GPU (default)"
    )
    return parser.parse_known_args(argv)


def sweep_flags(model: str, datasets: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """The part of sweep.py's command line that a grid decides."""
    return ["--model_name", model, "--datasets", *datasets, "--seeds", *map(str, seeds)]


def plan(flags: argparse.Namespace, others: Sequence[str]) -> list[Job]:
    """Every (model, data set, seed) as a process."""
    return [_job(*place, others) for place in product(flags.models, flags.datasets, flags.seeds)]


def _job(model: str, data: str, seed: int, others: Sequence[str]) -> Job:
    whole = hashlib.sha256(f"{model}\n{data}".encode()).hexdigest()[:8]  # two paths may end alike
    report = f".grid/{Path(model).name}_{Path(data).stem}_{seed}_{whole}"
    script = str(paths.root() / "experiments" / "sweep.py")
    own = [*sweep_flags(model, [data], [seed]), *others, "--quiet", "--report", report]
    return Job(model, report, (sys.executable, script, *own))


def one_gpu(gpu: str) -> dict[str, str]:
    """Environment in which CUDA sees that GPU alone, counted as nvidia-smi counts."""
    return {"CUDA_VISIBLE_DEVICES": gpu, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def launch(jobs: Iterable[Job], gpus: Sequence[str]) -> list[Job]:
    """Run every job with one GPU visible to it, at most one at a time on each. Returns those that failed."""
    free: SimpleQueue[str] = SimpleQueue()
    for gpu in gpus:
        free.put(gpu)

    def failed(job: Job) -> list[Job]:
        gpu = free.get()
        try:
            done = subprocess.run(job.command, check=False, env=os.environ | one_gpu(gpu), stdout=subprocess.DEVNULL)
        finally:
            free.put(gpu)
        if done.returncode:
            log.error("exit code %d on GPU %s: %s", done.returncode, gpu, " ".join(job.command[1:]))
        return [job] if done.returncode else []

    jobs = list(jobs)
    with ThreadPoolExecutor(len(gpus)) as pool:
        return sum(tqdm(pool.map(failed, jobs), total=len(jobs), desc=f"runs on {len(gpus)} GPUs"), [])


def device_of(others: Sequence[str]) -> str:
    """The ``--device`` among the flags for sweep.py."""
    parser = Parser(prog="grid.py")
    parser.add_argument("--device", default="auto")
    return parser.parse_known_args(list(others))[0].device


def choose_gpus(wanted: str, device: str = "auto") -> list[str]:
    """Indices of the GPUs to use; none where `device` names one already. Raises UserError for a list that is none."""
    named = device not in ("auto", "cuda")
    if wanted == "none" or (wanted == "auto" and named):
        return []
    if named:
        raise UserError(f"--gpus {wanted} and --device {device} contradict each other; leave one of them out")
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
