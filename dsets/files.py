"""Files that a user names."""

from pathlib import Path

from util import paths
from util.errors import UserError


def find(name: str | Path) -> Path | None:
    """The path that a name stands for: seen from the working directory, else from the repository root; else None."""
    path = Path(name).expanduser()
    candidates = [path] if path.is_absolute() else [path, paths.root() / path]
    return next((candidate for candidate in candidates if candidate.exists()), None)


def read(path: Path) -> bytes:
    """The file's content. Raises UserError if it is no readable file."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name a readable file") from error
