"""What README and docs/ show: fenced blocks by language, and every command, also those inside a sentence."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from util.paths import root

LANGUAGES = {"bash", "python", "json", "jsonl", "mermaid"}
PROGRAMS = ("python ", "python3 ", "bash ", "sh ", "pip ", "source ", "git ")
"""How a piece of code in a sentence begins if it is a command."""


@dataclass(frozen=True)
class Block:
    """A fenced block, or a command in a sentence (language "bash"). place: page:line."""

    place: str
    language: str
    text: str

    def commands(self) -> list["Command"]:
        """The commands of a bash block, line by line; a backslash joins lines, what follows a # is no part of it."""
        lines = self.text.replace("\\\n", " ").splitlines()
        split = [shlex.split(line, comments=True) for line in lines]
        return [Command.of(words) for words in split if words]


@dataclass(frozen=True)
class Command:
    """A command line: the variables put before it, and its words."""

    variables: dict[str, str]
    words: list[str]

    @classmethod
    def of(cls, words: list[str]) -> "Command":
        count = next(i for i, word in enumerate(words) if not re.match(r"[A-Z_]+=", word))
        return cls(dict(word.split("=", 1) for word in words[:count]), words[count:])


def pages() -> list[Path]:
    """The documentation."""
    return [root() / "README.md", *sorted((root() / "docs").glob("*.md"))]


def blocks(page: Path, text: str | None = None) -> Iterator[Block]:
    """Fenced blocks and commands in sentences, in order of appearance.

    Raises ValueError for a fence that is not closed or whose language nobody reads: it might hide a command.
    """
    lines = (page.read_text(encoding="utf-8") if text is None else text).splitlines()
    begin, language = None, ""
    for number, line in enumerate(lines, 1):
        place = f"{page.relative_to(root())}:{number}"
        if line.startswith("```"):
            if begin is None:
                begin, language = number, line[3:].strip()
                if language not in LANGUAGES:
                    raise ValueError(f"{place}: a block in {language!r}; name one of {', '.join(sorted(LANGUAGES))}")
            else:
                yield Block(f"{page.relative_to(root())}:{begin}", language, "\n".join(lines[begin : number - 1]))
                begin = None
        elif begin is None:
            if line.startswith("    ") and line.strip().startswith(PROGRAMS):
                raise ValueError(f"{place}: a command in an indented block; fence it")
            for code in re.findall(r"`([^`]+)`", line):
                if code.startswith(PROGRAMS):
                    yield Block(place, "bash", code)
    if begin is not None:
        raise ValueError(f"{page}:{begin}: a block without an end")


def all_blocks(language: str) -> list[Block]:
    """Those of one language, over all pages, each text once."""
    found = [block for page in pages() for block in blocks(page) if block.language == language]
    return list({block.text: block for block in reversed(found)}.values())[::-1]


def section_flags(page: Path) -> dict[str, set[str]]:
    """Heading → flags in the first column of its tables, of the sections its "Also:" line links to, of every script."""
    own: dict[str, set[str]] = {}
    linked: dict[str, list[str]] = {}
    heading = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
            own[heading], linked[heading] = set(), []
        elif line.startswith("|"):
            own[heading] |= set(re.findall(r"`(--\w+)", line.split("|")[1]))
        elif line.startswith("Also: "):
            linked[heading] += re.findall(r"\(#([\w-]+)\)", line)
    anchors = {anchor(heading): flags for heading, flags in own.items()}
    everywhere = own["Flags of every script"]
    return {
        heading: flags.union(everywhere, *(anchors[name] for name in linked[heading])) for heading, flags in own.items()
    }


def anchor(heading: str) -> str:
    """The name that a page gives a heading for links."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
