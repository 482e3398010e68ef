"""Corpora: local files, draws, digests, and a hub that is not there."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from dsets.corpus import load_corpus
from util.errors import UserError

TEXTS = [f"document {i}\nsecond line" for i in range(9)]


def written(folder, suffix: str, texts=TEXTS):
    path = folder / f"corpus{suffix}"
    if suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table({"id": range(len(texts)), "text": texts}), path)
    elif suffix == ".txt":
        path.write_text("\n" + "\n \n\n".join(texts) + "\n", encoding="utf-8")
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    else:
        path.write_text(json.dumps([{"text": text} for text in texts]), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".txt", ".json", ".jsonl", ".parquet"])
def test_every_file_gives_its_documents(tmp_path, suffix):
    path = written(tmp_path, suffix)
    corpus = load_corpus(str(path), len(TEXTS))
    assert (corpus.name, corpus.documents) == (str(path), TEXTS)
    assert load_corpus(str(path), 100).documents == TEXTS


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_blank_documents_do_not_count(tmp_path, suffix):
    assert load_corpus(str(written(tmp_path, suffix, ["", "a", " \n"])), 5).documents == ["a"]


def test_draw_keeps_the_order_and_the_seed_decides(tmp_path):
    path = str(written(tmp_path, ".txt"))
    drawn = load_corpus(path, 4, seed=3).documents
    assert len(drawn) == 4 and drawn == sorted(drawn)
    assert drawn == load_corpus(path, 4, seed=3).documents
    assert any(drawn != load_corpus(path, 4, seed=seed).documents for seed in range(5))


def test_digest_covers_content_number_and_seed(tmp_path):
    path = str(written(tmp_path, ".txt"))
    digests = {load_corpus(path, n, seed=seed).digest for n in (3, 4) for seed in (0, 1)}
    copy = tmp_path / "copy.txt"
    copy.write_bytes((tmp_path / "corpus.txt").read_bytes())
    assert load_corpus(str(copy), 3).digest in digests
    copy.write_text(copy.read_text() + "more", encoding="utf-8")
    assert len(digests | {load_corpus(str(copy), 3).digest}) == 5


def test_relative_paths(tmp_path, monkeypatch):
    written(tmp_path, ".txt")
    assert load_corpus("corpus.txt", 2, data_dir=tmp_path).documents
    monkeypatch.setenv("ZEROUNLEARN_DATA", str(tmp_path))
    assert load_corpus("corpus.txt", 2).documents
    monkeypatch.delenv("ZEROUNLEARN_DATA")
    monkeypatch.chdir(tmp_path)
    assert load_corpus("corpus.txt", 2).documents


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", b"\n \n", "holds no text"),
        ("a.txt", b"\xff\xfe", "not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"txt": "b"}', "line 2 has no string under 'text'"),
        ("a.jsonl", b'{"text": "a"}\n{', "line 2 is not complete JSON"),
        ("a.json", b'[{"text": 1}]', r"record 0 \(from 0\) has no string under 'text'"),
        ("a.json", b'{"text": "a"}', "is no JSON list"),
        ("a.json", b"[", "not complete JSON"),
        ("a.parquet", b"PAR", "is no parquet file"),
        ("a.jsonl", b'{"text": "a \\ud83d b"}', "line 1: its 'text' holds half a character"),
        ("a.csv", b"text", "is no .txt, .json, .jsonl or .parquet file"),
    ],
)
def test_broken_files(tmp_path, name, content, complaint):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as error:
        load_corpus(str(path), 2)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("values", [[1, 2], [["a"], ["b"]], [b"a", b"b"]], ids=["numbers", "lists", "bytes"])
def test_parquet_whose_text_is_none(tmp_path, values):
    path = written(tmp_path, ".parquet", values)
    with pytest.raises(UserError, match="has no string under 'text'") as error:
        load_corpus(str(path), 2)
    assert str(path) in str(error.value)


def test_parquet_with_missing_values(tmp_path):
    assert load_corpus(str(written(tmp_path, ".parquet", ["a", None, "b"])), 5).documents == ["a", "b"]


def test_damaged_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["text " * 100] * 100}), path)
    content = bytearray(path.read_bytes())
    content[20:60] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read .*mend it"):
        load_corpus(str(path), 2)


def test_parquet_without_text(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"body": ["x"]}), path)
    with pytest.raises(UserError, match=r"has the columns \['body'\]; it needs one named 'text'"):
        load_corpus(str(path), 2)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nowhere.txt", "'nowhere.txt' does not exist"),
        ("./nowhere", "'./nowhere' does not exist"),
        ("wikipedia", "write 'wikimedia/wikipedia:20231101.en'"),
        ("wikitext", "write 'Salesforce/wikitext:"),
        ("two words", "neither a file nor a name of the hub"),
        ("a/b/c", "neither a file nor a name of the hub"),
    ],
)
def test_unknown_names(name, complaint):
    with pytest.raises(UserError, match=complaint):
        load_corpus(name, 2)


def test_no_documents_asked_for():
    with pytest.raises(UserError, match="give at least 1"):
        load_corpus("world", 0)


def test_the_embedded_world(world):
    assert load_corpus("world:heldout", 10).documents == ["one", "two"]
    drawn = load_corpus("world", 3, seed=1)
    assert len(drawn.documents) == 3 and drawn.documents == sorted(drawn.documents)
    assert drawn.digest != load_corpus("world", 3, seed=2).digest
    world.statistics_documents = lambda: ["another world"] * 6
    assert drawn.digest != load_corpus("world", 3, seed=1).digest
