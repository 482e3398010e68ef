"""Files that a user names, and files that are fetched piece by piece."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from util import paths
from util.errors import UserError
from util.files import locked


def find(name: str | Path) -> Path | None:
    """The path that a name stands for: seen from the working directory, else from the repository root; else None.

    Raises UserError for a name that cannot be looked up (too long, or in a folder that may not be entered).
    """
    path = paths.expanded(name)
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
def growing(path: Path) -> Iterator[BinaryIO]:
    """A file that an earlier process may have begun, for this one alone to read and append to; removed if left empty.

    The block may move it away. Raises OSError where it cannot be written.
    """
    with locked(path):
        try:
            with path.open("a+b") as file:
                yield file
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size == 0:
                    path.unlink()
