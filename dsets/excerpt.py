"""An excerpt of Wikipedia that a package of the registry carries, for statistics where no hub is reached.

The package is gensim, whose tests read it: the first articles of the English dump of April 2016 (CC BY-SA 3.0). Its
wheel is fetched once, without what it depends on; nothing of it is installed or run.
"""

import bz2
import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from util.errors import UserError
from util.files import atomically, locked
from util.packages import wheel

NAME = "wikipedia-excerpt"
"""As mom2_dataset names it."""
PACKAGE = "gensim==4.4.0"
MEMBER = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
SHA256 = "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d"
SHORTEST_ARTICLE, PASSAGE = 1000, 2000
"""Letters: of an article that is taken, and after which a passage ends with its paragraph."""
VERSION = 1
"""Part of the file's name: raise when the passages would be others."""


def excerpt(data_dir: Path) -> Path:
    """The file of passages (JSON lines with title and text) in ``<data_dir>/corpora``, made first if it is not there.

    Raises UserError where the package cannot be had, or holds something else.
    """
    path = data_dir / "corpora" / f"{NAME}-{VERSION}.jsonl"
    if path.is_file():
        return path
    try:
        with locked(path):
            if not path.is_file():  # another process may have made it while this one waited
                _make(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error}); make room or name another --data_dir") from error
    return path


def _make(path: Path) -> None:
    partial = path.with_name(f".{path.name}.wheel")
    with zipfile.ZipFile(wheel(PACKAGE, partial)) as archive:
        content = archive.read(MEMBER)
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise UserError(f"{PACKAGE} holds another excerpt than the known one (sha256 {found}, expected {SHA256})")
    with atomically(path) as temporary:
        rows = ({"title": title, "text": text} for title, text in passages(bz2.decompress(content)))
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    shutil.rmtree(partial)


def passages(dump: bytes) -> Iterator[tuple[str, str]]:
    """(title, text) of a MediaWiki dump's articles, in pieces that end with a paragraph; redirects have no text."""
    for page in ElementTree.fromstring(dump).iterfind("{*}page"):
        title, text = page.findtext("{*}title") or "", page.findtext("{*}revision/{*}text") or ""
        if page.findtext("{*}ns") != "0" or text.lstrip().casefold().startswith("#redirect"):
            continue
        article = plain(text)
        if len(article) < SHORTEST_ARTICLE:
            continue
        piece = ""
        for paragraph in article.split("\n"):
            piece = f"{piece}\n{paragraph}" if piece else paragraph
            if len(piece) >= PASSAGE:
                yield title, piece
                piece = ""
        if piece:
            yield title, piece


def plain(text: str) -> str:
    """The sentences of wikitext: no templates, tables, notes, pictures, headings and lists; links are their words."""
    text = re.sub(r"<!--.*?-->|<ref[^>/]*/>|<ref.*?</ref>|<(math|gallery|source|pre)\b.*?</\1>", "", text, flags=re.S)
    for innermost in (r"\{\{[^{}]*\}\}", r"\{\|[^{}]*?\|\}"):
        text = _repeatedly(innermost, "", text)
    text = _repeatedly(r"\[\[(?:File|Image|Category)\s*:(?:[^\[\]]|\[\[[^\[\]]*\]\])*\]\]", "", text, re.I)
    text = re.sub(r"\[\[(?:[^\[\]|]*\|)?([^\[\]]*)\]\]", r"\1", text)
    text = re.sub(r"\[https?:\S+\s*([^\]]*)\]|<[^>]+>|'{2,}", lambda found: found[1] or "", text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line and line[0] not in "=*#:;|!{}" and line[-1] in '.!?:")”')


def _repeatedly(pattern: str, by: str, text: str, flags: int = 0) -> str:
    """Replaced until there is nothing more to replace: what is nested goes from the inside."""
    found = 1
    while found:
        text, found = re.subn(pattern, by, text, flags=flags)
    return text
