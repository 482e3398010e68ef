"""The verdict's rule, key overlap, and the page."""

from html.parser import HTMLParser

import pytest
import torch

from dsets import Record
from experiments.requests.evidence.asked_again import Heard, wordings
from experiments.requests.evidence.evidence_page import page
from experiments.requests.evidence.status import RULES, STATUSES, status, worst
from experiments.requests.unlearning.key_overlap import key_overlap
from util.request import Frame
from util.standing import Standing

BEFORE = [Heard("London. It", Standing(0.8, 1), "London"), Heard("London", Standing(0.5, 1), "London")]


def now(probability, rank, text="", other=None):
    return [Heard(text, Standing(probability, rank), "London"), other or Heard("", Standing(0.001, 50), "London")]


@pytest.mark.parametrize(
    ("after", "recovered", "expected"),
    [
        (now(0.5, 1), [], "still there"),
        (now(0.01, 9), [], "gone"),
        (now(0.2, 2), [], "weakened"),  # a quarter of what it was
        (now(0.01, 9, "in London, they say"), [], "weakened"),
        (now(0.01, 9, other=Heard("", Standing(0.3, 1), "London")), [], "weakened"),
        (now(0.01, 9, other=Heard("the city of London", Standing(0.1, 2), "London")), [], "weakened"),
        (now(0.01, 9), ["few_shot"], "weakened"),
        (now(float("nan"), 1), [], "weakened"),  # a broken model is no evidence
    ],
)
def test_status_follows_its_rule(after, recovered, expected):
    assert status(BEFORE, after, recovered) == expected


def test_a_request_is_as_gone_as_its_worst_fact():
    assert worst(["gone", "weakened", "not known"]) == "weakened"
    assert worst(["gone", "not known"]) == "gone"
    assert worst(["still there", "weakened"]) == "still there"
    assert worst(["not known"]) == worst([]) == "not known"
    assert RULES.keys() == set(STATUSES)


def test_a_fact_is_asked_in_every_form():
    record = Record(
        case_id=0, prompt="{} was born in", subject="Ada", target_true="London", paraphrases=("Ada is from",)
    )
    found = wordings(record, Frame("<user>", "<assistant>"))
    assert [one.kind for one in found] == ["prompt", "paraphrase", "question", "chat"]
    assert found[0].text == "Ada was born in" and found[1].text == "Ada is from"
    assert found[3].text.startswith("<user>") and found[3].text.endswith("<assistant>") and found[3].prefix == ""
    assert [one.kind for one in wordings(record, None)] == ["prompt", "paraphrase", "question"]
    plain = Record(case_id=0, prompt="{} was born in", subject="Ada", target_true="London")
    assert [one.kind for one in wordings(plain, None)].count("paraphrase") == 4


def test_key_overlap_is_the_cosine_in_the_corpus_metric():
    generator = torch.Generator().manual_seed(0)
    K, P = (torch.randn(7, count, generator=generator, dtype=torch.float64) for count in (2, 5))
    root = torch.randn(7, 9, generator=generator, dtype=torch.float64)
    C = root @ root.T
    found = key_overlap(K, P, torch.linalg.cholesky(C))
    half = torch.linalg.inv(torch.linalg.cholesky(C))
    k, p = half @ K, half @ P
    expected = ((k.T @ p).abs() / k.norm(dim=0)[:, None] / p.norm(dim=0)).amax(0)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(key_overlap(K, K, torch.linalg.cholesky(C)), torch.ones(2, dtype=torch.float64))


def test_key_overlap_without_statistics_takes_the_mean_away_and_has_no_trouble_with_zeros():
    P = torch.tensor([[1.0, 1.0, 3.0], [0.0, 2.0, 1.0]])
    K = P[:, :1] + 10 * (P[:, :1] - P.mean(1, keepdim=True))  # the same direction from the mean, farther away
    assert key_overlap(K, P)[0] == pytest.approx(1)
    assert key_overlap(K[:, :0], P).tolist() == [0, 0, 0]
    assert key_overlap(torch.zeros(2, 1), torch.ones(2, 2)).tolist() == [0, 0]


def fact(name, **changes):
    wording = {"kind": "prompt", "prompt": "<b> was born in", "before": said("London"), "after": said("", 0.001, 70)}
    return {
        "prompt": "<b> was born in",
        "answer": "London & co",
        "status": name,
        "recovered_by": [],
        "wordings": [wording],
    }


def said(text, probability=0.9, rank=1):
    return {"text": text, "probability": probability, "rank": rank, "told": rank == 1}


def result(**changes):
    kept = {"n": 2, "before": 100.0, "after": 50.0, "lost": ["<i> plays the violin"]}
    request = {"id": "<7>", "subject": "<b>", "status": "gone", "before": said("London"), "after": said("", 0.001, 70)}
    unknown = {"id": 8, "subject": "x", "status": "not known", "before": None, "after": None, "facts": []}
    return {
        "all_gone": True,
        "counts": {"gone": 1, "weakened": 0, "still there": 0, "not known": 1},
        "rules": RULES,
        "requests": [request | {"facts": [fact("gone")]}, unknown],
        "neighbours": kept,
        "same_subject": kept | {"n": 0, "before": None, "after": None, "lost": []},
        "retain": kept,
        "ppl": {"before": 3.0, "after": None, "text": "heldout"},
        "attacks": {
            "verdict": "forgotten",
            "attacks": {
                "prompt": {"recovered": 0.0, "chance": 1.0, "accuses": False, "counted": True, "about": "the prompt"}
            },
        },
        "seconds": {"load": 1.0},
        "peak_memory_bytes": 10**9,
        "provenance": dict.fromkeys(
            ("model", "method", "hparams_from", "weights_before", "weights_after", "made", "commit"), "<x>"
        )
        | {"edited": ["model.layers.1.mlp.down_proj.weight"]},
    } | changes


def test_a_chat_is_shown_from_its_end_where_the_question_stands():
    asked = fact("gone")
    asked["wordings"] = [
        asked["wordings"][0] | {"kind": kind, "prompt": f"{kind} header " + 30 * "of it " + f"{kind} question"}
        for kind in ("chat", "paraphrase")
    ]
    text = page(result(requests=[result()["requests"][0] | {"facts": [asked]}]))
    assert "chat question" in text and "chat header" not in text
    assert "paraphrase header" in text and "paraphrase question" not in text


class WellFormed(HTMLParser):
    """Tags that are open; the end must find none, and quoted texts open none."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        assert not {"src", "href"} & {name for name, _ in attrs}, "the page needs no other file"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({}, "all gone"),
        (
            {"all_gone": False, "counts": {"gone": 1, "weakened": 1, "still there": 0, "not known": 0}},
            "1 of 2 not gone",
        ),
        ({"counts": {"gone": 0, "weakened": 0, "still there": 0, "not known": 2}}, "Nothing was known"),
        ({"requests": [], "counts": dict.fromkeys(STATUSES, 0)}, "No request stands any more"),
        ({"attacks": None, "ppl": {"before": None, "after": None, "text": "none"}}, "all gone"),
    ],
)
def test_the_page_is_one_well_formed_file_that_quotes_what_it_is_given(changes, headline):
    text = page(result(**changes))
    parser = WellFormed()
    parser.feed(text.removeprefix("<!doctype html>"))
    assert parser.open == []
    assert headline in text and "prefers-color-scheme: dark" in text and "width=device-width" in text
    assert "requests: ." not in text and "0 requests" not in text
    if changes.get("requests") == []:
        return
    assert "&lt;b&gt; was born in" in text and "London &amp; co" in text and "&lt;i&gt; plays" in text
