"""The excerpt of Wikipedia: out of a package that lies on this machine, as sentences."""

import bz2
import hashlib
import zipfile

import pytest

from dsets import excerpt
from dsets.corpus import load_corpus
from util.errors import UserError

SENTENCE = "'''Ada''' was a [[mathematician]] of [[London|the capital]].<ref name=x>no</ref> "
TEXT = """{{Infobox|{{nested|x}}
|y}}
[[File:Ada.jpg|thumb|A [[portrait]] of Ada.]]
== Life ==
* a list.
{| class="x"
| cell. {{x}}
|}
<!-- a note. -->""" + "\n".join([SENTENCE * 8] * 8)


def dump(*pages: tuple[str, str, str]) -> bytes:
    """A MediaWiki dump of (title, namespace, text)."""
    from xml.sax.saxutils import escape

    body = "".join(
        f"<page><title>{title}</title><ns>{space}</ns><revision><text>{escape(text)}</text></revision></page>"
        for title, space, text in pages
    )
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/">{body}</mediawiki>'.encode()


ARTICLES = dump(("Ada", "0", TEXT), ("A", "0", "#REDIRECT [[Ada]]"), ("Talk:Ada", "1", TEXT), ("Short", "0", "Yes."))


def test_wikitext_becomes_sentences():
    assert set(excerpt.plain(TEXT).split("\n")) == {" ".join(["Ada was a mathematician of the capital."] * 8)}


def test_articles_come_in_passages():
    found = list(excerpt.passages(ARTICLES))
    assert {title for title, _ in found} == {"Ada"}
    assert [len(text) > excerpt.PASSAGE for _, text in found] == [True, False]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package without a network that holds the articles."""
    content = bz2.compress(ARTICLES)
    path = tmp_path / "gensim-4.4.0-py3-none-any.whl"
    about = "gensim-4.4.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(excerpt.MEMBER, content)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: gensim\nVersion: 4.4.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(tmp_path)), ("PIP_CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(excerpt, "SHA256", hashlib.sha256(content).hexdigest())
    return path


def test_fetched_once(package, tmp_path):
    corpus = load_corpus(excerpt.NAME, 1, data_dir=tmp_path / "data")
    package.unlink()
    again = load_corpus(excerpt.NAME, 5, data_dir=tmp_path / "data")
    assert (len(corpus.documents), len(again.documents), corpus.name) == (1, 2, excerpt.NAME)
    assert corpus.digest != again.digest and "mathematician" in corpus.documents[0]
    assert [path.suffix for path in (tmp_path / "data" / "corpora").iterdir()] == [".jsonl"]


def test_another_excerpt_is_refused(package, tmp_path, monkeypatch):
    monkeypatch.setattr(excerpt, "SHA256", "0" * 64)
    with pytest.raises(UserError, match="holds another excerpt"):
        load_corpus(excerpt.NAME, 1, data_dir=tmp_path / "data")
