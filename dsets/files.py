"""Files that a user names."""

from pathlib import Path

from util import paths


def find(name: str | Path) -> Path | None:
    """The path that a name stands for: seen from the working directory, else from the repository root; else None."""
    path = Path(name).expanduser()
    candidates = [path] if path.is_absolute() else [path, paths.root() / path]
    return next((candidate for candidate in candidates if candidate.exists()), None)
