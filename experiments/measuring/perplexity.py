"""Perplexity of a model on a text: WikiText-2 in strides, the published 100-token protocol, or held-out documents."""

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import world
from dsets.corpus import Corpus
from dsets.hub import hub_failures
from util.batching import in_batches
from util.choices import WORLD
from util.errors import UserError
from util.forward import final_hidden
from util.hooks import frozen
from util.likelihood import read_tokens
from util.modeling import max_length
from util.progress import progress_bar
from util.tokens import adds_bos, encode, pad

WIKITEXT2 = "wikitext2_test.txt"
WINDOW = 2048
PAPER_DOCUMENTS, PAPER_TOKENS = 20, 100

log = logging.getLogger("zerounlearn")


def choose(kind: str, model_name: str, data_dir: Path, corpus: Corpus | None) -> str:
    """What ``auto`` means: held-out text for the embedded model, else WikiText-2 where it is there or can be fetched.

    Where it is not, the published protocol on the statistics corpus, or none without a corpus; a warning says so.
    """
    if kind != "auto":
        return kind
    if model_name == WORLD:
        return "heldout"
    try:
        wikitext2(data_dir)
    except UserError as error:
        instead = "paper" if corpus else "none"
        log.warning("%s; now --ppl %s is used", error, instead)
        return instead
    return "wikitext2"


@dataclass(frozen=True)
class PerplexityText:
    """What a perplexity is measured on. kind: one of PPL_TEXTS but ``auto``. digest: sha256 of the documents."""

    kind: str
    documents: tuple[str, ...]
    digest: str


def read_text(kind: str, data_dir: Path, corpus: Corpus | None = None) -> PerplexityText:
    """The documents of a kind (not ``auto``, see `choose`). Raises UserError when they are missing.

    A WikiText-2 with ``<unk>`` in it is the tokenised split; a warning says that its PPL is comparable with no other.
    """
    documents: tuple[str, ...] = ()
    if kind == "heldout":
        documents = tuple(world.heldout_documents())
    elif kind == "wikitext2":
        documents = (wikitext2(data_dir),)
        if "<unk>" in documents[0]:
            log.warning(
                "%s is the tokenised test split, which holds <unk> for rare words: its PPL is not comparable with "
                "published ones, which read the raw split (wikitext-2-raw-v1)",
                data_dir / WIKITEXT2,
            )
    elif kind == "paper":
        if corpus is None:
            raise UserError(
                "--ppl paper reads the statistics corpus, and this method has none; use --ppl wikitext2 or none"
            )
        documents = tuple(islice(iter(corpus.documents), PAPER_DOCUMENTS))
    return PerplexityText(kind, documents, hashlib.sha256("\0".join(documents).encode()).hexdigest())


def perplexity(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: PerplexityText,
    *,
    batch_tokens: int,
    progress: bool = False,
) -> float | None:
    """Perplexity of a text by the protocol of its kind; None for ``none``, infinite where it overflows."""
    if text.kind == "none":
        return None
    if text.kind == "paper":
        return _paper(model, tokenizer, text)
    encoded = [encode(tokenizer, document) for document in text.documents]
    if text.kind == "heldout":
        return _mean_over(model, [(row, 1) for row in encoded], batch_tokens, progress)
    bos = encoded[0][:1] if adds_bos(tokenizer) else []
    return _mean_over(model, _windows(model, encoded[0], bos), batch_tokens, progress)


def wikitext2(data_dir: Path) -> str:
    """The test split as published numbers read it, from a local text file, else through `datasets`.

    That form is ``"\\n\\n".join(rows)`` of the rows that `datasets` serves: every line with its own end, "" for a
    blank one. A file is brought into it (`joined_rows`), so that both give the same text and digest. UserError where
    there is neither, and for a file that is no text.
    """
    path = data_dir / WIKITEXT2
    if path.is_file():
        try:
            return joined_rows(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 text ({error}); put the split there as it is published") from error
    from datasets import load_dataset

    try:
        rows = load_dataset("Salesforce/wikitext", "wikitext-2-raw-v1", split="test")["text"]
    except hub_failures() as error:
        raise UserError(
            f"WikiText-2 is neither at {path} nor to be had from the hub ({type(error).__name__}); "
            "put its raw test split there as one text file, or choose --ppl paper or --ppl none"
        ) from error
    return "\n\n".join(rows)


def joined_rows(text: str) -> str:
    r"""The rows of a text joined by "\n\n", whether it is the split's own file or rows that were joined by \n or \n\n.

    Two rows of text that follow each other are one, two or three line ends apart then (the least that is found), and
    a blank row between adds one, one or two. A text of one line stays as it is.
    """
    lines = text.split("\n")
    places = [i for i, line in enumerate(lines) if line.strip()]
    if not places:
        return text
    gaps = [after - before for before, after in pairwise(places)]
    least = min([*gaps, 3]) if gaps else 1
    blank = 2 if least == 3 else 1
    rows = [""] * (places[0] // blank)
    for place, gap in zip(places, [*gaps, None], strict=True):
        rows += [lines[place] + "\n"] + [""] * ((gap - least) // blank if gap else 0)
    after = len(lines) - 1 - places[-1]
    rows += [""] * max(0, (after - 1) // blank)
    joined = "\n\n".join(rows)
    return joined if after else joined.removesuffix("\n")


def _windows(model: PreTrainedModel, ids: list[int], bos: list[int]) -> list[tuple[list[int], int]]:
    """(tokens, first scored index): windows of the model's length at half-window strides, every token scored once.

    bos: what every window begins with, as the text itself does; it counts for the window's length. Without it the
    text's first token is context alone.
    """
    window = max_length(model, WINDOW)
    stride = max(1, window // 2)
    body, room = ids[len(bos) :], window - len(bos)
    result, scored = [], 1 - len(bos)
    for start in range(0, max(1, len(body) - room + stride), stride):
        end = min(start + room, len(body))
        result.append((bos + body[start:end], len(bos) + scored - start))
        scored = end
    return result


def _mean_over(model, rows: Sequence[tuple[list[int], int]], batch_tokens: int, progress: bool) -> float:
    """exp of the token-weighted mean NLL; a row's first token is context (BOS where the tokenizer has one)."""
    rows = [(ids, first) for ids, first in rows if len(ids) > first]
    if not rows:
        raise UserError("the perplexity text is shorter than two tokens; name another --ppl")

    def read(group: list[int]) -> list[float]:
        return _nll(model, [rows[i][0] for i in group], [rows[i][1] for i in group])

    total, count = 0.0, 0
    with progress_bar(total=len(rows), desc="perplexity", progress=progress, leave=False) as bar:
        for group, nll in in_batches([len(ids) for ids, _ in rows], batch_tokens, read):
            total, count = total + sum(nll), count + len(nll)
            bar.update(len(group))
    return _exp(total / count)


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _nll(model: PreTrainedModel, rows: list[list[int]], first: list[int]) -> list[float]:
    """NLL of every token from index `first` of its row on."""
    places = [(i, t - 1, row[t]) for i, row in enumerate(rows) for t in range(first[i], len(row))]
    with torch.no_grad(), frozen(model):
        log_p_P, _ = read_tokens(model, final_hidden(model, pad(rows, device=model.device)), places)
    return (-log_p_P).tolist()


def _paper(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: PerplexityText) -> float:
    """exp(−Σ log p / N) over the first 20 documents joined by spaces, cut at 100 tokens; N counts the first token too.

    The published protocol, which divides by one token more than it scores and reads 100 tokens: for comparison only.
    """
    ids = encode(tokenizer, " ".join(text.documents))[:PAPER_TOKENS]
    if len(ids) < 2:
        raise UserError("the statistics corpus has fewer than two tokens in its first documents; choose another --ppl")
    return _exp(sum(_nll(model, [ids], [1])) / len(ids))
