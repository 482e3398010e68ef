"""Scripts and what they leave: flags, one-line errors, atomic files, run folders that appear when finished, seconds.

Nothing in here loads torch, so that ``--help`` and a mistyped flag answer at once.
"""

import argparse
import errno
import glob
import json
import logging
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from tqdm.contrib.logging import logging_redirect_tqdm

from util.errors import UserError
from util.files import atomically

OURS = ("zerounlearn", "baselines", "dsets", "experiments", "util")
"""Names that this repository's loggers begin with."""

TOLD_SECONDS = 0.1
"""A stage that takes less is not told."""

stages = logging.getLogger("zerounlearn.stages")


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are UserErrors, one line each, and which guesses no abbreviated flags.

    Every script has ``--verbose``, which `cli` reads.
    """

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        self.add_argument("--verbose", action="store_true", help="also say what is read, fetched and left as it is")

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message} (--help lists the flags)")


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a disk, a quota or a limit is full."""

NO_PLACE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EROFS)
"""What the system says of a path that cannot be there, or that is not this user's."""


def cli(main: Callable[[list[str] | None], object]) -> None:
    """Run a script's main: a UserError, a disk without room, or a path that cannot be, becomes one line on stderr and
    exit 2, an interruption exit 130.

    A number that main returns is the exit code. Every other exception is a bug and keeps its traceback (exit 1).
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    # Offline it tells of each of six attempts, twice, before the one line that says what to do. Where it is imported
    # later it takes its level from the environment.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    stages.setLevel(logging.WARNING if "--quiet" in sys.argv else logging.INFO)
    if "--verbose" in sys.argv:
        for name in OURS:
            logging.getLogger(name).setLevel(logging.INFO)
    try:
        with logging_redirect_tqdm():
            code = main(None)
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in NO_ROOM and not (error.errno in NO_PLACE and error.filename):
            raise
        print(f"error: {_refused(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept, the same command does the rest", file=sys.stderr)
        sys.exit(130)
    if isinstance(code, int) and code:
        sys.exit(code)


def _refused(error: OSError) -> str:
    if error.errno in NO_ROOM:
        where = f" for {error.filename}" if error.filename else ""
        return f"no room{where} ({error.strerror}); make room and give the same command again"
    return f"the path {error.filename} cannot be used ({error.strerror}); give another one"


def write_text(path: Path, text: str) -> None:
    """Write a file in one move: it is whole or not there."""
    with atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """One JSON value, keys in the order given, no NaN (a reader of another language could not parse it)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[object]) -> None:
    """One JSON value a line."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[Any]:
    """What `write_jsonl` wrote. Nothing but a line feed ends a line: a model's text may hold the others of Unicode."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@dataclass
class Claim:
    """A run folder in the making: write into `partial`; `final` is its name once the block has ended well."""

    partial: Path
    final: Path | None = None


@contextmanager
def run_folder(parent: Path, stem: str) -> Iterator[Claim]:
    """A folder to fill; it appears as ``<parent>/<stem>_run_<id>`` only when the block ends without an exception.

    id: the next free number, three digits. Until then it is a hidden sibling, which a failure removes. Raises UserError
    where no folder can be made.
    """
    claim = Claim(parent / f".partial-{stem}-{secrets.token_hex(6)}")
    try:
        claim.partial.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{parent} cannot be written ({error.strerror}); choose another --results_dir") from error
    try:
        yield claim
        claim.final = _move(claim.partial, parent, stem)
    finally:
        shutil.rmtree(claim.partial, ignore_errors=True)


def _move(partial: Path, parent: Path, stem: str) -> Path:
    """Take the first free id; another process may take one in between, and then the next is tried."""
    for number in range(1000):
        final = parent / f"{stem}_run_{number:03d}"
        if final.exists():
            continue
        try:
            return partial.rename(final)
        except OSError:
            if not final.exists():
                raise
    raise UserError(f"{parent} holds 1000 runs of {stem}; remove some or name another --results_dir")


def check_writable(folder: Path, flag: str = "--results_dir") -> None:
    """UserError, naming the flag to correct, unless `folder` is, or can become, a folder with files of this user's."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise UserError(f"{folder} cannot be written; choose another {flag}")


def check_file(path: Path, flag: str) -> None:
    """UserError, before any work is done and naming the flag to correct, for a place where no file can be written."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file with {flag}")
    check_writable(path.parent, flag)


def finished_runs(parent: Path, stem: str) -> list[Path]:
    """Finished run folders of that stem, oldest id first."""
    return sorted(path for path in parent.glob(f"{glob.escape(stem)}_run_*") if (path / "summary.json").is_file())


def check_matplotlib(what: str, instead: str) -> None:
    """UserError, before any work is done, where the optional package that draws `what` lacks. instead: of drawing."""
    if find_spec("matplotlib") is None:
        raise UserError(
            f"{what} needs matplotlib, which is not installed; pip install -r requirements-extra.txt, or {instead}"
        )


def shows_bars(quiet: bool) -> bool:
    """Whether progress bars are drawn: not with ``--quiet``, and not into a file or a pipe, which they would fill."""
    return not quiet and sys.stderr.isatty()


class Stopwatch:
    """Seconds per stage. told: whether each stage's end is a line of the log, where no bar shows how far it is."""

    def __init__(self, told: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self.told = told

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the block's seconds to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds that were measured elsewhere to a stage."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        if self.told and seconds >= TOLD_SECONDS:
            stages.info("%s: %.1f s", name, seconds)
