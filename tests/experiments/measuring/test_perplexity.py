"""Perplexities by plain loops over single forward passes."""

import math
from importlib.util import find_spec

import pytest
import torch

from dsets.corpus import Corpus
from experiments.measuring import perplexity as module
from experiments.measuring.perplexity import choose, perplexity, read_text
from tests.tiny import TEXT, tiny_llama
from util import likelihood
from util.errors import UserError
from util.tokens import encode


def log_probs(model, ids):
    """log p of every token but the first, given those before it."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].float()
    return logits.log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]].tolist()


@pytest.mark.parametrize("budget", [1, 10_000])
def test_heldout_is_weighted_by_tokens(tiny, monkeypatch, tmp_path, budget):
    model, tokenizer = tiny
    monkeypatch.setattr(module.world, "heldout_documents", lambda: TEXT)
    values = [value for text in TEXT for value in log_probs(model, encode(tokenizer, text))]
    found = perplexity(model, tokenizer, read_text("heldout", tmp_path), batch_tokens=budget)
    assert found == pytest.approx(math.exp(-sum(values) / len(values)), rel=1e-4)


@pytest.mark.parametrize("window", [8, 9, 64, 10_000])
def test_wikitext_scores_every_token_once_with_half_a_window_before_it(monkeypatch, tmp_path, window):
    model, tokenizer = tiny_llama(max_position_embeddings=512)
    (tmp_path / module.WIKITEXT2).write_text(" ".join(TEXT), encoding="utf-8")
    monkeypatch.setattr(module, "WINDOW", window)
    ids = encode(tokenizer, " ".join(TEXT))
    window = min(window, 512)
    bos, body = ids[0], ids[1:]
    total, scored, start, windows = 0.0, 0, 0, []
    while scored < len(body):
        end = min(start + window - 1, len(body))
        windows.append([bos, *body[start:end]])
        total += sum(log_probs(model, windows[-1])[scored - start :])
        scored, start = end, start + window // 2
    assert [row for row, _ in module._windows(model, ids, [bos])] == windows
    found = perplexity(model, tokenizer, read_text("wikitext2", tmp_path), batch_tokens=1000)
    assert found == pytest.approx(math.exp(-total / (len(ids) - 1)), rel=1e-4)


ROWS = ["", " = Ada = \n", "", " One . \n", " Two . \n", "", "", " = = Life = = \n", "", " Three . \n", ""]
"""As `datasets` serves them: lines with their ends, "" for blank ones."""
RAW = "".join(row or " \n" for row in ROWS)


@pytest.mark.parametrize(
    "content",
    [
        RAW,
        "".join(row or "\n" for row in ROWS),
        "\n".join(ROWS),
        "\n\n".join(ROWS),
        RAW.replace("\n", "\r\n"),
    ],
    ids=["the split's file", "blank lines trimmed", "joined by one", "joined by two", "other line ends"],
)
def test_wikitext_from_a_file_and_from_the_hub_is_one_text(monkeypatch, tmp_path, content):
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: {"text": ROWS})
    served = read_text("wikitext2", tmp_path)
    assert served.documents == ("\n\n".join(ROWS),)
    (tmp_path / module.WIKITEXT2).write_bytes(content.encode())
    assert read_text("wikitext2", tmp_path) == served


@pytest.mark.parametrize("text", ["", " \n", "one line", "one line\n", "a\n\n\nb\n\n\n\n\nc"])
def test_what_has_that_form_already_stays_as_it_is(text):
    assert module.joined_rows(text) == text


CLIENT = pytest.importorskip("httpx2" if find_spec("httpx2") else "httpx")


@pytest.mark.parametrize("error", [CLIENT.ConnectError("no route"), OSError("offline"), ValueError("no such split")])
def test_a_hub_that_does_not_answer_is_one_line(monkeypatch, tmp_path, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("datasets.load_dataset", fails)
    with pytest.raises(UserError, match="put its raw test split there"):
        read_text("wikitext2", tmp_path)


def test_the_tokenised_split_is_warned_of(tmp_path, caplog):
    for content, warned in ((RAW, False), (RAW.replace("Ada", "<unk>"), True)):
        (tmp_path / module.WIKITEXT2).write_text(content, encoding="utf-8")
        read_text("wikitext2", tmp_path)
        assert ("not comparable" in caplog.text) is warned


def test_a_split_that_is_no_text_is_named(tmp_path):
    (tmp_path / module.WIKITEXT2).write_bytes(b"\xff\xfe caf\xe9")
    with pytest.raises(UserError, match=f"{module.WIKITEXT2} is not UTF-8 text"):
        read_text("wikitext2", tmp_path)


def test_the_published_protocol_counts_the_first_token(tiny, tmp_path):
    model, tokenizer = tiny
    corpus = Corpus("c", "d", TEXT * 10)
    ids = encode(tokenizer, " ".join((TEXT * 10)[:20]))[:100]
    found = perplexity(model, tokenizer, read_text("paper", tmp_path, corpus), batch_tokens=1000)
    assert len(ids) == 100
    assert found == pytest.approx(math.exp(-sum(log_probs(model, ids)) / 100), rel=1e-4)


def test_logits_are_held_for_some_positions_at_a_time(tiny, monkeypatch, tmp_path):
    model, tokenizer = tiny
    monkeypatch.setattr(module.world, "heldout_documents", lambda: TEXT)
    whole = perplexity(model, tokenizer, read_text("heldout", tmp_path), batch_tokens=1000)
    monkeypatch.setattr(likelihood, "LOGITS_AT_ONCE", 1)
    assert perplexity(model, tokenizer, read_text("heldout", tmp_path), batch_tokens=1000) == pytest.approx(whole)


def test_none_and_what_is_missing(tiny, tmp_path):
    model, tokenizer = tiny
    assert perplexity(model, tokenizer, read_text("none", tmp_path), batch_tokens=1000) is None
    with pytest.raises(UserError, match="corpus"):
        read_text("paper", tmp_path)
    with pytest.raises(UserError, match="fewer than two tokens"):
        perplexity(model, tokenizer, read_text("paper", tmp_path, Corpus("c", "d", [""])), batch_tokens=1000)
    with pytest.raises(UserError, match=module.WIKITEXT2):
        read_text("wikitext2", tmp_path)
    (tmp_path / module.WIKITEXT2).write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="shorter than two tokens"):
        perplexity(model, tokenizer, read_text("wikitext2", tmp_path), batch_tokens=1000)


def test_texts_are_told_apart(tmp_path):
    corpora = Corpus("c", "d", TEXT), Corpus("c", "d", TEXT[1:])
    assert len({read_text("paper", tmp_path, corpus).digest for corpus in corpora}) == 2


def test_what_auto_means(tmp_path, caplog):
    corpus = Corpus("c", "d", TEXT)
    assert choose("none", "world", tmp_path, corpus) == "none"
    assert choose("auto", "world", tmp_path, None) == "heldout"
    assert choose("auto", "other", tmp_path, corpus) == "paper"
    assert choose("auto", "other", tmp_path, None) == "none"
    assert "WikiText-2" in caplog.text
    (tmp_path / module.WIKITEXT2).write_text("text", encoding="utf-8")
    assert choose("auto", "other", tmp_path, corpus) == "wikitext2"


@pytest.mark.parametrize("length", [2, 7, 8, 9, 12, 13, 40])
@pytest.mark.parametrize("bos", [[], [1]])
def test_windows_score_every_token_once(monkeypatch, length, bos):
    monkeypatch.setattr(module, "WINDOW", 8)
    model, _ = tiny_llama()
    body = list(range(100, 100 + length))
    rows = module._windows(model, bos + body, bos)
    scored = [token for ids, first in rows for token in ids[first:]]
    assert scored == (body if bos else body[1:])
    assert all(ids[: len(bos)] == bos and len(ids) <= 8 for ids, _ in rows)
    assert all(first >= 4 for _, first in rows[1:])
