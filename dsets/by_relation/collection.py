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

        A folder with some relations is taken for what its owner wants: nothing is fetched to complete it, unless a
        fetch of ours broke off in it, which `.unfinished` tells. Raises UserError for files that cannot be had, for
        upstream's folder one level too deep, and for files without a usable fact.
        """
        root = data_dir / cls.folder
        unfinished = root / ".unfinished"
        if not cls._present(root):
            cls._refuse_too_deep(root)
        if unfinished.exists() or not cls._present(root):
            try:
                cls._fetch(root, unfinished)
            except UserError as error:
                raise UserError(f"{cls._lack(root, unfinished)}: {error}") from error
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
    def _places(cls, root: Path) -> str:
        """The folders in which files are expected."""
        return " and ".join(str((root / pattern).parent) for pattern in cls.patterns)

    @classmethod
    def _refuse_too_deep(cls, root: Path) -> None:
        """UserError for a folder that holds upstream's folder instead of being it, as after `git clone` in it."""
        for inner in sorted(root.glob("*/")):
            if cls._present(inner):
                raise UserError(
                    f"{inner} holds upstream's files one folder too deep, they are expected in {cls._places(root)}; "
                    f"move what is in {inner} to {root}"
                )

    @classmethod
    def _lack(cls, root: Path, unfinished: Path) -> str:
        """What the folder lacks of upstream's files, and what to do for the rest to be enough."""
        lacking = sum(not (root / path).is_file() for path in cls.paths)
        said = f"{root} lacks {lacking} of {len(cls.paths)} files, which are expected in {cls._places(root)}"
        if unfinished.exists():
            said += f" (a fetch broke off there; remove {unfinished} to use only the files that are there)"
        return said

    @classmethod
    def _fetch(cls, root: Path, unfinished: Path) -> None:
        """All of upstream's files; `unfinished` stands beside them until they are complete.

        It does not stay where nothing has come: what is put there by hand later is not a fetch that broke off.
        """
        try:
            root.mkdir(parents=True, exist_ok=True)
            try:
                for path in cls.paths:
                    unfinished.touch()
                    (root / path).parent.mkdir(parents=True, exist_ok=True)
                    fetch(Upstream(file_name=path, base=cls.base), root, partial(cls.check, path))
                unfinished.unlink(missing_ok=True)
            finally:
                if not cls._present(root):
                    unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{root} cannot be written ({error}); name another folder with --data_dir") from error
