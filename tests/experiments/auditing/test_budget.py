"""An attack that takes too long gives no figure; what is left to do is estimated from what is done."""

import itertools
import logging
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from experiments.auditing import attacking, context
from experiments.auditing.attack_registry import ATTACKS, Attack, choose
from experiments.auditing.attacking import run
from experiments.auditing.attacks.asking import prompt
from experiments.auditing.budget import Pace, watched
from experiments.auditing.context import NotPossible, OutOfTime
from experiments.auditing.locality import locality

NOT_HERE = {"chat", "relearn_subjects", "drop_top", "drop_bottom", "drop_update", "mask"}
"""No chat template, no other facts about the subjects, nothing edited: refused before anything is asked."""


def dawdling(audited):
    """Asks a hundred times."""
    for _ in range(100):
        outcome = prompt(audited)
    return outcome


@pytest.fixture
def slow(audited, monkeypatch):
    """A small audit whose second attack asks a hundred times; a second goes by with every look at the clock."""
    monkeypatch.setitem(ATTACKS, "forms", Attack(dawdling, "", cost=100.0))
    monkeypatch.setattr(attacking, "locality", lambda _audited: {})
    clock = SimpleNamespace(perf_counter=map(float, itertools.count()).__next__)
    for module in (attacking, context):
        monkeypatch.setattr(module, "time", clock)
    return replace(audited, facts=audited.facts[:1], controls=audited.controls[:2], wrong={})


def test_an_attack_over_its_budget_is_skipped_and_not_half_reported(slow, tmp_path):
    found = run(slow, choose(["forms", "rank"], quick=False), tmp_path, "key", budget=50)
    assert list(found["attacks"]) == ["prompt", "rank"]
    reason = found["skipped"]["forms"]
    assert reason.startswith("it took 5") and "the budget is 50 s; by the pace of the others it needs about" in reason
    assert not list(tmp_path.glob("forms*"))  # a later audit with more time asks anew


def test_without_a_budget_nothing_is_skipped_and_the_prompt_has_none(slow):
    found = run(slow, choose(["prompt"], quick=False), budget=1e-9)
    assert list(found["attacks"]) == ["prompt"] and not found["skipped"]


def without_room(audited):
    """Runs out of GPU memory."""
    raise torch.OutOfMemoryError("CUDA out of memory")


def without_room_for_wrong_answers(audited):
    """Runs out of it in the second run of an attack alone."""
    return without_room(audited) if "wrong" in str(audited.facts[0].case_id) else prompt(audited)


@pytest.mark.parametrize("attack", [without_room, without_room_for_wrong_answers])
def test_an_attack_that_runs_out_of_memory_is_skipped_and_the_audit_goes_on(audited, monkeypatch, tmp_path, attack):
    """Without its wrong answers its level of chance would be too low."""
    monkeypatch.setitem(ATTACKS, "forms", Attack(attack, ""))
    monkeypatch.setattr(attacking, "locality", lambda _audited: {})
    found = run(audited, choose(["forms", "rank"], quick=False), tmp_path, "key")
    assert list(found["attacks"]) == ["prompt", "rank"]
    assert "GPU memory" in found["skipped"]["forms"]
    assert not list(tmp_path.glob("forms*"))  # a later audit with more memory asks anew


def test_there_is_no_audit_without_room_for_the_prompt(audited, monkeypatch):
    monkeypatch.setitem(ATTACKS, "prompt", Attack(without_room, ""))
    with pytest.raises(torch.OutOfMemoryError):
        run(audited, choose(["rank"], quick=False))


def test_every_pass_looks_at_the_clock(audited):
    over = replace(audited, deadline=-math.inf)
    with watched(over):
        for name, attack in ATTACKS.items():
            with pytest.raises(NotPossible if name in NOT_HERE else OutOfTime):
                attack.run(over)
        with pytest.raises(OutOfTime):
            locality(over)


def test_each_attack_is_told_with_the_time_that_is_left(slow, caplog):
    with caplog.at_level(logging.INFO, "zerounlearn.stages"):
        run(slow, choose(["rank"], quick=False), told=True)
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith("attack 1 of 2, prompt: ") and first.endswith("s left")
    assert last.startswith("attack 2 of 2, rank: ") and "left" not in last


def test_the_pace_is_seconds_by_cost():
    pace = Pace()
    assert pace.needs(3) is None
    pace.add(1, 2.0)
    pace.add(3, 6.0)
    assert pace.needs(5) == 10
    assert all(0 < attack.cost < math.inf for attack in ATTACKS.values())
