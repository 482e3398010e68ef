"""GPUs of this machine, and processes that see one each. Loads no torch: what a process sees is set before it does."""

import logging
import os
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from util.errors import UserError
from util.progress import progress_bar

log = logging.getLogger("zerounlearn")

FREE_SHARE = 0.1
"""A GPU counts as free while less than this share of its memory is in use."""


@dataclass(frozen=True)
class Job:
    """One process: a sweep over one model, data set and seed. report: the name it gives its report."""

    model: str
    report: str
    command: tuple[str, ...]


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

    jobs, lost = list(jobs), []
    with ThreadPoolExecutor(len(gpus)) as pool:
        shown = progress_bar(pool.map(failed, jobs), total=len(jobs), desc=f"runs on {len(gpus)} GPUs")
        for some in shown:
            lost += some
    return lost


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
    free = [index for index, used, total in rows if _is_number(used, total) and int(used) < FREE_SHARE * int(total)]
    return [index for index in free if visible is None or index in visible.split(",")]


def _is_number(*parts: str) -> bool:
    """Whether nvidia-smi told them: of a GPU that is divided, or lost, it says ``[N/A]`` or ``[GPU is lost]``."""
    return all(part.isdigit() for part in parts)
