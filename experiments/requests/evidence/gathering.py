"""The report: what was said before, what is said now, what else changed, what attacks get back."""

import copy
from collections.abc import Mapping, Sequence

from transformers import PreTrainedModel

from experiments.auditing.attack_registry import choose
from experiments.auditing.attacking import prepare, run
from experiments.measuring.perplexity import PerplexityText, perplexity
from experiments.requests.asking.wanted import Wanted
from experiments.requests.evidence.asked_again import Heard
from experiments.requests.evidence.status import GONE, NOT_KNOWN, RULES, status, worst
from experiments.requests.evidence.watching import Watched, still_right
from experiments.requests.unlearning.opened import Fact, Opened
from util.weights import WeightEdits

IN_WORDS = ("prompt", "paraphrases", "forms", "chat", "prefix_50", "few_shot", "free_text")
"""Attacks that make the model say the answer; the others look inside it or give it options."""


def ppl(opened: Opened, text: PerplexityText) -> float | None:
    """Of the model as it is."""
    budget, progress = opened.scoring_tokens, opened.settings.progress
    return perplexity(opened.model, opened.tokenizer, text, batch_tokens=budget, progress=progress)


def attacked(opened: Opened, edits: WeightEdits, facts: Sequence[Fact]) -> dict[str, object] | None:
    """What audit.json holds, by the quick attacks; None without facts that were known, or with ``--attacks none``."""
    records = [fact.record for fact in facts if fact.known]
    if opened.settings.attacks == "none" or not records:
        return None
    audited = prepare(
        _before(opened.model, edits),
        opened.model,
        opened.tokenizer,
        records,
        context=opened.facts,
        seed=opened.settings.seed,
        batch_tokens=opened.scoring_tokens,
        progress=opened.settings.progress,
    )
    return run(audited, choose(None, quick=True))


def _before(model: PreTrainedModel, edits: WeightEdits) -> PreTrainedModel:
    """A copy of the model as it was."""
    before = copy.deepcopy(model)
    edits.undo(before)
    return before


def rows(
    wanted: Sequence[Wanted], facts: Sequence[Fact], after: Mapping[int, Sequence[Heard]], audit: Mapping | None
) -> list[dict[str, object]]:
    """One row a request; a fact that several ask for stands in the row of each.

    after: place of a fact that was unlearned → what is said now.
    """
    told = _told_by(audit)
    found: list[list[dict]] = [[] for _ in wanted]
    for place, fact in enumerate(facts):
        row = _fact_row(fact, after.get(place), told)
        for request in fact.asked_by:
            found[request].append(row)
    return [_request_row(one, some) for one, some in zip(wanted, found, strict=True)]


def _told_by(audit: Mapping | None) -> dict[tuple[str, str], list[str]]:
    """(prompt, answer) → the attacks in words that got it back, of those that get more than chance explains."""
    if audit is None:
        return {}
    sure = [name for name, one in audit["attacks"].items() if name in IN_WORDS and one["accuses"]]
    return {
        (fact["prompt"], fact["answer"]): [name for name in fact["recovered_by"] if name in sure]
        for fact in audit["facts"]
    }


def _fact_row(fact: Fact, after: Sequence[Heard] | None, told: Mapping[tuple[str, str], list[str]]) -> dict:
    record = fact.record
    recovered = told.get((record.text, record.target_true), [])
    known = status(fact.before, after, recovered) if after and fact.known else NOT_KNOWN
    later: list[Heard | None] = list(after) if after else [None] * len(fact.before)
    pairs = zip(fact.wordings, fact.before, later, strict=True)
    return {
        "prompt": record.text,
        "answer": record.target_true,
        "status": known,
        "recovered_by": recovered,
        "wordings": [
            {
                "kind": wording.kind,
                "prompt": wording.text,
                "before": before.row() | {"told": before.told},
                "after": now.row() | {"told": now.told} if now else None,
            }
            for wording, before, now in pairs
        ],
    }


def _request_row(one: Wanted, facts: Sequence[dict]) -> dict[str, object]:
    """The request with its facts; before and after are those of its worst fact, in the prompt."""
    verdict = worst(fact["status"] for fact in facts)
    shown = next((fact for fact in facts if fact["status"] == verdict), None)
    prompt = shown["wordings"][0] if shown else {"before": None, "after": None}
    return {
        "id": one.id,
        "subject": one.subject,
        "status": verdict,
        "before": prompt["before"],
        "after": prompt["after"],
        "facts": list(facts),
    }


def report(
    opened: Opened,
    requests: Sequence[Mapping],
    watched: Watched,
    ppls: tuple[float | None, float | None],
    text: PerplexityText,
    audit: Mapping | None,
) -> dict[str, object]:
    """What report.json holds, less time, memory and where it comes from."""
    kept = still_right(
        opened.model,
        opened.tokenizer,
        watched,
        batch_tokens=opened.scoring_tokens,
        progress=opened.settings.progress,
    )
    asked = [one["status"] for one in requests if one["status"] != NOT_KNOWN]
    return {
        "all_gone": all(one == GONE for one in asked),
        "counts": {name: sum(one["status"] == name for one in requests) for name in RULES},
        "rules": RULES,
        "requests": list(requests),
        **kept,
        "ppl": {"before": ppls[0], "after": ppls[1], "text": text.kind},
        "attacks": audit,
    }
