"""The report as one HTML file for whoever asked for the deletion: verdict, each request, what else changed."""

from collections.abc import Mapping, Sequence
from html import escape

from experiments.auditing.markup import document, table
from experiments.requests.evidence.asked_again import CHAT

CLASSES = {"gone": "forgotten", "weakened": "hidden", "still there": "still", "not known": "dim"}
"""Status → the style sheet's class."""
KINDS = {
    "neighbours": "same answer, other subjects",
    "same_subject": "other facts about the subjects",
    "retain": "facts about others",
}
LONGEST = 90


def page(report: Mapping) -> str:
    """The whole file."""
    parts = [
        f"<h1>{_headline(report)}</h1>",
        *_requests(report),
        "<h2>What else changed</h2>",
        _kept(report),
        *_attacks(report["attacks"]),
        "<h2>Where this comes from</h2>",
        _made_from(report),
    ]
    return document("Unlearning report", parts)


def _requests(report: Mapping) -> list[str]:
    """What was asked for; nothing where every request was withdrawn."""
    counts, requests = report["counts"], report["requests"]
    if not requests:
        return []
    told = ", ".join(f"{counts[name]} {_status(name)}" for name in CLASSES if counts[name])
    return [
        f"<p>{len(requests)} {'request' if len(requests) == 1 else 'requests'}: {told}.</p>",
        _rules(report),
        "<h2>Request by request</h2>",
        _overview(requests),
        *(_request(one) for one in requests),
    ]


def _headline(report: Mapping) -> str:
    if not report["requests"]:
        return "No request stands any more: the model is the unedited one"
    asked = len(report["requests"]) - report["counts"]["not known"]
    if not asked:
        return "Nothing was known, nothing was changed"
    return (
        "Unlearned: <span class='forgotten'>all gone</span>"
        if report["all_gone"]
        else (f"Unlearned: <span class='hidden'>{asked - report['counts']['gone']} of {asked} not gone</span>")
    )


def _status(name: str) -> str:
    return f"<span class='{CLASSES[name]}'>{escape(name)}</span>"


def _rules(report: Mapping) -> str:
    items = "".join(f"<li>{_status(name)}: {escape(rule)}.</li>" for name, rule in report["rules"].items())
    return f"<details><summary>What the words mean</summary><ul>{items}</ul></details>"


def _overview(requests: Sequence[Mapping]) -> str:
    rows = [
        [
            f"<td>{escape(str(one['id']))}</td>",
            f"<td class='text'>{escape(one['subject'])}</td>",
            f"<td class='text'>{_status(one['status'])}</td>",
            _said(one["before"]),
            _said(one["after"]),
        ]
        for one in requests
    ]
    return table(["request", "subject", "status", "said before", "says now"], rows)


def _said(one: Mapping | None) -> str:
    """A cell: the text, and below it how the true answer stands."""
    if one is None:
        return "<td class='text dim'>–</td>"
    told = (
        "no finite number" if one["probability"] is None else f"answer: p {one['probability']:.2g}, rank {one['rank']}"
    )
    return f"<td class='text'>{_short(one['text'])}<br><small class='dim'>{told}</small></td>"


def _short(text: str, *, end: bool = False) -> str:
    """A text that fits a cell; end: where it is too long its end is shown, not its beginning."""
    line = " ".join(text.split())
    if len(line) > LONGEST:
        line = "…" + line[1 - LONGEST :] if end else line[: LONGEST - 1] + "…"
    return escape(line) or "<span class='dim'>nothing</span>"


def _request(one: Mapping) -> str:
    facts = "".join(_fact(fact) for fact in one["facts"])
    lacking = "" if one["facts"] else "<p class='dim'>The model says nothing of its own about this subject.</p>"
    title = f"{escape(str(one['id']))}: {escape(one['subject'])}"
    return f"<details><summary>{title}, {_status(one['status'])}</summary>{facts}{lacking}</details>"


def _fact(fact: Mapping) -> str:
    rows = []
    for wording in fact["wordings"]:
        asked = _short(wording["prompt"], end=wording["kind"] == CHAT)  # a chat begins with its headers
        cells = [f"<td>{escape(wording['kind'])}</td>", f"<td class='text'>{asked}</td>"]
        rows.append([*cells, _said(wording["before"]), _said(wording["after"])])
    got = ", ".join(fact["recovered_by"])
    back = f" Attacks that got it back: {escape(got)}." if got else ""
    head = ["form", "asked", "said before", "says now"]
    return f"<p>{escape(fact['prompt'])} <b>{escape(fact['answer'])}</b>: {_status(fact['status'])}.{back}</p>" + table(
        head, rows
    )


def _kept(report: Mapping) -> str:
    rows = []
    for kind, title in KINDS.items():
        one = report[kind]
        share = "–" if one["after"] is None else f"{one['after']:.1f} %"
        lost = "; ".join(_short(text) for text in one["lost"]) or "none"
        rows.append(
            [f"<td>{title}</td>", f"<td>{one['n']}</td>", f"<td>{share}</td>", f"<td class='text dim'>{lost}</td>"]
        )
    ppl = report["ppl"]
    told = "not measured" if ppl["before"] is None else f"{ppl['before']:.3f} before, {_number(ppl['after'])} now"
    below = f"<p>Perplexity ({escape(ppl['text'])}): {told}.</p>"
    return table(["known before", "n", "still known", "lost"], rows) + below


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.3f}"


def _attacks(audit: Mapping | None) -> list[str]:
    if audit is None:
        return []
    rows = [
        [
            f"<td>{escape(name)}</td>",
            f"<td>{one['recovered']:.1f}</td>",
            f"<td>{one['chance']:.1f}</td>",
            f"<td>{'accuses' if one['accuses'] else '' if one['counted'] else 'not counted'}</td>",
            f"<td class='text dim'>{escape(one['about'])}</td>",
        ]
        for name, one in audit["attacks"].items()
    ]
    told = f"<p>Over all facts the attacks say: <b>{escape(audit['verdict'])}</b>.</p>"
    return ["<h2>Attacks</h2>", told, table(["attack", "recovered %", "chance %", "", "what it does"], rows)]


def _made_from(report: Mapping) -> str:
    made, seconds = report["provenance"], report["seconds"]
    spent = ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items())
    listed = {
        "model": made["model"],
        "method": made["method"],
        "settings from": made["hparams_from"],
        "edited": ", ".join(made["edited"]) or "nothing",
        "weights before": made["weights_before"],
        "weights now": made["weights_after"],
        "time": spent,
        "most memory held": f"{report['peak_memory_bytes'] / 1e9:.2f} GB",
        "made": f"{made['made']}, code {made['commit']}",
    }
    return table(
        [], [[f"<td>{name}</td>", f"<td class='text'>{escape(str(value))}</td>"] for name, value in listed.items()]
    )
