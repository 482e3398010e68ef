"""Where a run's numbers come from, and what they took: versions, commit, device, most memory held."""

import platform
import re
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from util.paths import root

STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")
"""Linux's own count of a process's memory, and what sets its peak back when "5" is written to it."""


def provenance(device: torch.device) -> dict[str, object]:
    """Versions, commit and device."""
    return {
        "python": platform.python_version(),
        "packages": {package: package_version(package) for package in ("torch", "transformers", "numpy", "datasets")},
        "commit": _commit(),
        "device": {"type": str(device), "name": device_name(device), "threads": torch.get_num_threads()},
    }


def device_name(device: torch.device) -> str:
    """The GPU's name; a CPU's architecture."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()


def package_version(package: str) -> str | None:
    """The installed version; None where the package is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The repository's commit, ``-dirty`` appended when files differ from it; None outside a checkout."""
    command = ["git", "-C", str(root()), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def reset_peak_memory(device: torch.device) -> bool:
    """Count the most memory held from now on; False where only the whole process's can be had (a CPU without /proc)."""
    if device.type == "cuda":
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)
        return True
    try:
        REFERENCES.write_text("5")
    except OSError:
        return False
    return _resident_peak() is not None


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory held since the last reset: by the GPUs' allocators on CUDA, else the process's resident set."""
    if device.type == "cuda":
        return sum(torch.cuda.max_memory_allocated(index) for index in range(torch.cuda.device_count()))
    unit = 1 if sys.platform == "darwin" else 1024
    return _resident_peak() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _resident_peak() -> int | None:
    """What Linux counts as the peak of the resident set, in bytes; getrusage would keep the peak before a reset."""
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text()) if STATUS.is_file() else None
    return int(found[1]) * 1024 if found else None
