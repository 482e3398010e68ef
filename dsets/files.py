"""Files that a user names, and files that several processes may want to write."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from util import paths
from util.errors import UserError

log = logging.getLogger(__name__)


def find(name: str | Path) -> Path | None:
    """The path that a name stands for: seen from the working directory, else from the repository root; else None.

    Raises UserError for a name that cannot be looked up (too long, or in a folder that may not be entered).
    """
    path = Path(os.path.expanduser(name))  # unlike Path's own, it takes "~" before no user's name for what it is
    candidates = [path] if path.is_absolute() else [path, paths.root() / path]
    try:
        return next((candidate for candidate in candidates if candidate.exists()), None)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name a readable file") from error


def read(path: Path) -> bytes:
    """The file's content. Raises UserError if it is no readable file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name a readable file") from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[BinaryIO]:
    """The file, opened for reading and appending, held by this process alone; removed if it is left empty."""
    while True:
        with path.open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.warning("another process is writing %s; waiting for it", path)
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):
                try:
                    yield file
                finally:
                    file.flush()
                    if _is_at(file, path) and os.fstat(file.fileno()).st_size == 0:
                        path.unlink()
                return


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether the open file is still the one of that name: whoever held its lock may have moved or removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
