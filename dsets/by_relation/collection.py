"""What a collection's class has to say: which files it has, where they are published, and how they become relations."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from dsets import named_files
from dsets.by_relation.triples import Relation, collect
from dsets.download import Upstream, fetch
from dsets.raw_rows import Collected
from util.errors import UserError


@dataclass(frozen=True)
class Found:
    """A collection's records, the bytes of its files, and the sha256 of these (in the order of their names) and of how
    they are read."""

    collected: Collected
    size: int
    digest: str


class Collection(ABC):
    """Base of every collection's class. It lies in a folder of the data folder, laid out as upstream has it.

    metric: how its numbers are defined. folder: its name. base: where upstream's folder is published. paths: of
    upstream's files, seen from there. pattern: of the files that are read, whichever relations they are about. reading:
    what tells records that are read now from those that the same files once gave; a part of the digest.
    """

    metric: ClassVar[str] = "counterfact"
    folder: ClassVar[str]
    base: ClassVar[str]
    paths: ClassVar[tuple[str, ...]]
    patterns: ClassVar[tuple[str, ...]]
    reading: ClassVar[str] = ""

    @classmethod
    @abstractmethod
    def relations(cls, content: dict[str, bytes]) -> Iterable[Relation]:
        """The relations of files' contents (path → bytes). Raises UserError for what is not of the form."""

    @classmethod
    @abstractmethod
    def check(cls, path: str, content: bytes) -> int:
        """The number of rows of one file. Raises UserError if it is something else."""

    @classmethod
    def read(cls, data_dir: Path) -> Found:
        """The records of the files that are there; where none is, upstream's are fetched.

        A folder with some relations is taken for what its owner wants: nothing is fetched to complete it.
        """
        root = data_dir / cls.folder
        unfinished = root / ".unfinished"
        if unfinished.exists() or not cls._present(root):
            cls._fetch(root, unfinished)
        content = cls.content(root)
        digest = hashlib.sha256(cls.reading.encode())
        for path, found in content.items():
            digest.update(f"{path} {len(found)}\0".encode() + found)
        collected = collect(cls.relations(content))
        if not collected.records:
            raise UserError(f"{root} has no usable fact; put upstream's files there, or remove it to have them fetched")
        return Found(collected, sum(map(len, content.values())), digest.hexdigest())

    @classmethod
    def content(cls, root: Path) -> dict[str, bytes]:
        """Path → content of the files in that folder."""
        return {path: named_files.read(root / path) for path in cls._present(root)}

    @classmethod
    def _present(cls, root: Path) -> list[str]:
        return sorted(path.relative_to(root).as_posix() for pattern in cls.patterns for path in root.glob(pattern))

    @classmethod
    def _fetch(cls, root: Path, unfinished: Path) -> None:
        """All of upstream's files; `unfinished` stands beside them until they are complete."""
        try:
            root.mkdir(parents=True, exist_ok=True)
            unfinished.touch()
            for path in cls.paths:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                fetch(Upstream(file_name=path, base=cls.base), root, partial(cls.check, path))
            unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{root} cannot be written ({error}); name another folder with --data_dir") from error
