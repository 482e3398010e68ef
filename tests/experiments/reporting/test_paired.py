"""Paired differences: on the same facts and seeds, with an interval that a known case confirms."""

import json

import numpy as np
import pytest

from experiments.reporting.paired import credits, difference, differences


def facts(values, seed=0):
    return {(seed, str(i)): value for i, value in enumerate(values)}


def test_a_difference_is_the_mean_over_the_facts_that_both_have_in_points():
    found = difference(facts([1, 0, 1, 1]), facts([0, 0, 1]))
    assert (found.mean, found.facts, found.seeds) == (pytest.approx(100 / 3), 3, 1)
    assert difference(facts([1]), facts([1], seed=1)) is None


def test_a_constant_difference_has_an_interval_of_no_width_and_none_is_not_significant():
    better = difference(facts([1, 1, 1]), facts([0, 0, 0]))
    assert (better.low, better.mean, better.high) == (100, 100, 100) and str(better).endswith("*")
    same = difference(facts([1, 0, 1]), facts([1, 0, 1]))
    assert (same.low, same.high) == (0, 0) and "*" not in str(same)


def test_one_value_has_no_interval():
    assert str(difference(facts([0.5]), facts([0.25]))) == "+25.00"


def test_with_one_seed_the_interval_is_that_of_a_mean_over_facts():
    rng = np.random.default_rng(1)
    values = rng.normal(0.2, 0.5, size=400)
    found = difference(facts(values), facts(np.zeros(400)))
    half = 1.96 * 100 * values.std() / 20
    assert found.low == pytest.approx(found.mean - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.1 * half)


def test_seeds_that_differ_widen_the_interval_beyond_that_of_their_facts():
    ours = {(seed, str(i)): float(seed % 2) for seed in range(4) for i in range(50)}
    found = difference(ours, dict.fromkeys(ours, 0.0))
    assert found.seeds == 4 and found.mean == 50
    assert found.low <= 10 and found.high >= 90


def test_alike_seeds_give_the_interval_of_facts_that_are_drawn_anew_for_every_seed_drawn():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 1, size=40)
    found = difference({(seed, str(i)): value for seed in range(5) for i, value in enumerate(values)}, facts_of_none(5))
    half = 1.96 * 100 * values.std() / np.sqrt(200)  # five seeds of forty facts, whichever are drawn
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def facts_of_none(seeds):
    return {(seed, str(i)): 0.0 for seed in range(seeds) for i in range(40)}


def row(case_id, correct):
    answer = {"correct": correct, "probability": 0.5}
    return {"case_id": case_id, "after": {"efficacy": answer, "generalization": [answer], "specificity": []}}


def folder(path, seed, flags, metric="counterfact"):
    path.mkdir(parents=True)
    scores = dict.fromkeys(["efficacy", "generalization", "retain"], 50.0) | {"ppl": 10.0 + sum(map(all, flags))}
    (path / "summary.json").write_text(json.dumps({"seed": seed, "base": scores, "unlearned": scores}))
    (path / "run.json").write_text(json.dumps({"hashes": {"metric": metric}}))
    rows = "\n".join(json.dumps(row(i, one)) for i, one in enumerate(flags))
    (path / "forget.jsonl").write_text(rows)
    (path / "retain.jsonl").write_text(rows)
    return path


def test_credits_are_read_as_the_data_set_counts_them(tmp_path):
    half = [[True, False]]
    assert credits([folder(tmp_path / "a", 0, half)])["efficacy"] == {(0, "0"): 0.0}
    assert credits([folder(tmp_path / "b", 0, half, "zsre")])["efficacy"] == {(0, "0"): 0.5}


def test_the_table_has_a_row_per_other_method_and_no_column_for_what_was_not_measured(tmp_path):
    ours = [folder(tmp_path / f"o{seed}", seed, [[True], [True]]) for seed in range(2)]
    theirs = [folder(tmp_path / f"t{seed}", seed, [[False], [True]]) for seed in range(2)]
    table = differences({"MEMIT": theirs, "Ours": ours}, "MEMIT")
    heading, _, only = table.splitlines()
    assert "Eff" in heading and "Retain" in heading and "PPL" in heading and "Spe" not in heading
    assert only.split("|")[1].strip() == "Ours" and "+50.00" in only and "+1.00 [+1.00, +1.00] *" in only


def test_a_method_that_broke_with_one_seed_has_no_differences_and_a_mark(tmp_path):
    theirs = [folder(tmp_path / f"t{seed}", seed, [[False], [True]]) for seed in range(2)]
    ours = [folder(tmp_path / f"o{seed}", seed, [[True], [True]]) for seed in range(2)]
    broken = json.loads((ours[1] / "summary.json").read_text())
    broken |= {"unlearned": dict.fromkeys(broken["base"]), "collapse": {"step": 1}}
    (ours[1] / "summary.json").write_text(json.dumps(broken))
    lost = [json.dumps(json.loads(line) | {"after": None}) for line in (ours[1] / "forget.jsonl").open()]
    (ours[1] / "forget.jsonl").write_text("\n".join(lost))
    only = differences({"MEMIT": theirs, "Ours": ours}, "MEMIT").splitlines()[2]
    cells = [cell.strip() for cell in only.split("|")[1:-1]]
    assert cells[0] == "Ours †" and set(cells[1:]) == {"–"}
