"""An audit from its beginning to its result: known facts, attacks one after the other, figures, verdict."""

import hashlib
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Record
from experiments.auditing.attack_registry import ATTACKS, PROMPT, Attack
from experiments.auditing.budget import Pace, watched
from experiments.auditing.context import (
    LEAST_CONTROLS,
    LEAST_WRONG,
    Audited,
    NotPossible,
    OutOfTime,
    make_controls,
    with_wrong_answers,
)
from experiments.auditing.locality import locality
from experiments.auditing.verdict import FEW, accusing, figure, verdict, worst
from experiments.measuring.scoring import score
from util.errors import UserError
from util.modeling import layer_count
from util.request import NEUTRAL
from util.runs import stages, write_json

VERSION = 7
"""Raise when the same models and facts would give other results whatever the attack; `Attack.version` where it is one
attack's. Parts of older audits are then not taken over."""

NO_ROOM = "it needs more GPU memory than there is"
"""Why an attack is skipped that ran out of it."""

log = logging.getLogger(__name__)


def prepare(
    before: PreTrainedModel,
    after: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[Record],
    *,
    context: Sequence[Record] = (),
    oracle: PreTrainedModel | None = None,
    seed: int,
    batch_tokens: int,
    progress: bool = False,
    controls: int = LEAST_CONTROLS,
) -> Audited:
    """The facts that the model before answers right, with at least so many controls in all.

    context: further records, which nobody asked to forget, for other wordings, objects and examples. oracle: a model
    that never met the facts.
    Raises UserError where the models are not of one shape, where the model after is broken, and where the model
    before knows none of the facts.
    """
    _check_shape(before, after, "--after", "name the model that --after was made from with --before")
    if oracle is not None:
        _check_shape(before, oracle, "--oracle", "an oracle is the model of --before, trained without the facts")
    facts = {record.fact: record for record in records}.values()
    questions = [record.own_question for record in facts]
    knew, now = (
        score(model, tokenizer, questions, batch_tokens=batch_tokens, progress=progress) for model in (before, after)
    )
    if any(math.isnan(one.probability) for one in now.values()):
        raise UserError("the model of --after gives numbers that are not finite: it is broken, and says nothing at all")
    known = tuple(one for one in facts if all(knew[one.own_question].correct))
    if not known:
        raise UserError(
            f"the model of --before knows none of the {len(questions)} facts, so that nothing can come back; "
            "name facts that it answers right"
        )
    return Audited(
        before=before,
        after=after,
        tokenizer=tokenizer,
        facts=known,
        controls=make_controls(known, seed, controls),
        file=tuple(records),
        context=tuple(context),
        oracle=oracle,
        wrong=with_wrong_answers(
            known,
            (*records, *context),
            seed,
            LEAST_WRONG * controls // LEAST_CONTROLS,
            never={NEUTRAL, *tokenizer.all_special_tokens},
        ),
        seed=seed,
        batch_tokens=batch_tokens,
        progress=progress,
    )


def _check_shape(before: PreTrainedModel, other: PreTrainedModel, flag: str, what_to_do: str) -> None:
    sizes = {"layers": layer_count, "vocabulary": lambda one: one.config.get_text_config().vocab_size}
    differing = [f"{name} {a} and {b}" for name, size in sizes.items() if (a := size(before)) != (b := size(other))]
    if not differing:
        shapes, others = ({name: tuple(one.shape) for name, one in m.named_parameters()} for m in (before, other))
        names = [name for name in (*shapes, *others) if shapes.get(name) != others.get(name)]
        differing = [f"{name} {shapes.get(name, 'missing')} and {others.get(name, 'missing')}" for name in names]
    if differing:
        raise UserError(f"the models of --before and {flag} are not of one shape: {differing[0]}; {what_to_do}")


def run(
    audited: Audited,
    attacks: Mapping[str, Attack],
    parts: Path | None = None,
    key: object = None,
    *,
    budget: float = math.inf,
    told: bool = False,
) -> dict:
    """What audit.json holds, less where it comes from. parts: folder where each attack's result is kept as it comes.

    A part that is there and was made under the same `key` is taken over, so that an audit that was interrupted goes on.
    budget: seconds of one attack; one that takes more ends at its next batch, is among the skipped, and leaves no part.
    An attack that runs out of GPU memory ends likewise. The plain prompt has no budget and has to fit, since there is
    no verdict without it. told: a line of the log for each attack.
    """
    found: dict[str, dict] = {}
    skipped: dict[str, str] = {}
    pace, left = Pace(), sum(attack.cost for attack in attacks.values())
    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
    with tqdm(total=left, desc="attacks", disable=not audited.progress, bar_format=form) as bar:
        for number, (name, attack) in enumerate(attacks.items(), 1):
            bar.set_postfix_str(name)
            part = _part(audited, name, attack, parts, key, math.inf if name == PROMPT else budget)
            if "stopped" in part:
                part = {"skipped": _out_of_time(budget, part["stopped"], pace.needs(attack.cost))}
            if "skipped" in part:
                skipped[name] = part["skipped"]
            else:
                found[name] = part
                pace.add(attack.cost, part["seconds"])
            left -= attack.cost
            bar.update(attack.cost)
            if told:
                stages.info("%s", _line(number, len(attacks), name, part, pace.needs(left)))
    return _result(audited, found, skipped) | {"locality": locality(audited)}


def _out_of_time(budget: float, spent: float, needs: float | None) -> str:
    """Why there is no figure."""
    rest = f"by the pace of the others it needs about {needs:.0f} s" if needs and needs > spent else "it needs more"
    return f"it took {spent:.1f} s and was not done, the budget is {budget:g} s; {rest}"


def _line(number: int, count: int, name: str, part: Mapping, left: float | None) -> str:
    done = f"skipped, {part['skipped']}" if "skipped" in part else f"{part['seconds']:.1f} s"
    rest = f"; about {left:.0f} s left" if left is not None and number < count else ""
    return f"attack {number} of {count}, {name}: {done}{rest}"


def _part(audited: Audited, name: str, attack: Attack, parts: Path | None, key: object, budget: float) -> dict:
    """One attack's flags, details and seconds; or why it was skipped; or the seconds after which it was stopped."""
    named = json.dumps([VERSION, attack.version, name, key], sort_keys=True)
    digest = hashlib.sha256(named.encode()).hexdigest()[:16]
    path = parts / f"{name}-{digest}.json" if parts else None
    if path and path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    start = time.perf_counter()
    timed = replace(audited, deadline=start + budget)
    try:
        with watched(timed):
            outcome = attack.run(timed)
            wrong = _of_wrong_answers(timed, attack)
        part: dict[str, object] = {
            "facts": list(outcome.facts),
            "controls": list(outcome.controls),
            "wrong": wrong,
            "details": dict(outcome.details),
            "seconds": time.perf_counter() - start,
        }
    except NotPossible as reason:
        log.info("attack %s is skipped: %s", name, reason)
        part = {"skipped": str(reason)}
    except OutOfTime:
        return {"stopped": time.perf_counter() - start}
    except torch.OutOfMemoryError:
        if name == PROMPT:
            raise
        log.info("attack %s is skipped: %s", name, NO_ROOM)
        return {"skipped": NO_ROOM}
    if path:
        write_json(path, part)
    return part


def _of_wrong_answers(audited: Audited, attack: Attack) -> list[bool | None]:
    """What the attack gets of answers that are not true; nothing where it cannot be tried on them."""
    if not audited.wrong:
        return []
    try:
        return list(attack.run(audited.of_wrong_answers()).facts)
    except NotPossible:
        return []


def _result(audited: Audited, found: Mapping[str, dict], skipped: Mapping[str, str]) -> dict:
    few, counts = len(audited.facts) < FEW, list(audited.wrong.values())
    figures = {
        name: figure(
            part["facts"], part["controls"], audited.seed, part["wrong"], counts if part["wrong"] else (), few=few
        )
        for name, part in found.items()
    }
    skipped = dict(skipped) | {name: "no fact it can be tried on" for name, one in figures.items() if one is None}
    shown = {name: one for name, one in figures.items() if one is not None}
    counted = {name: one for name, one in shown.items() if ATTACKS[name].counted}
    accused_by, level = accusing(counted, few)
    name, figure_of_worst = worst(counted)
    return {
        "version": VERSION,
        "verdict": verdict(accused_by, PROMPT),
        "worst": {
            "attack": name,
            "recovered": figure_of_worst.recovered,
            "chance": figure_of_worst.chance,
        },
        "attacks": {
            name: one.row()
            | {"accuses": name in accused_by, "counted": ATTACKS[name].counted}
            | {"about": ATTACKS[name].about, "version": ATTACKS[name].version}
            | {part: found[name][part] for part in ("seconds", "details")}
            for name, one in shown.items()
        },
        "skipped": skipped,
        "level": level,
        "known": len(audited.facts),
        "controls": len(audited.controls),
        "wrong_answers": sum(audited.wrong.values()),
        "facts": [
            {
                "case_id": record.case_id,
                "prompt": record.text,
                "answer": record.target_true,
                "recovered_by": [name for name in shown if found[name]["facts"][i]],
            }
            for i, record in enumerate(audited.facts)
        ],
    }
