"""Differences of methods to one of them, fact by fact on the same facts and seeds, with bootstrap intervals."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.measuring.metrics import CREDIT
from experiments.reporting.table import COLUMNS, aligned
from util.runs import read_jsonl

RESAMPLES = 10_000

Facts = dict[tuple[int, str], float]
"""(seed, fact) → credit after the edit, 0 to 1."""


@dataclass(frozen=True)
class Difference:
    """Mean difference in points, its 95 % interval (all numbers, where it is over one value), and over how many facts
    and seeds it is."""

    mean: float
    low: float
    high: float
    facts: int
    seeds: int

    def __str__(self) -> str:
        if self.high - self.low == math.inf:
            return f"{self.mean:+.2f}"
        mark = " *" if self.low > 0 or self.high < 0 else ""
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]{mark}"


def differences(folders: Mapping[str, Sequence[Path]], against: str) -> str:
    """A Markdown table: a row per other method, a column per measure, method less `against`; * where 0 is outside.

    folders: method → its run folders, one a seed, all of one Base. Eff, Gen, Spe and Retain are differences per fact;
    the intervals draw seeds, and facts within them, with replacement. PPL is one number a seed, and its interval draws
    seeds. What a collapse has left without a value in some seed (†) has no difference: the other seeds' would flatter.
    """
    values = {name: credits(runs) for name, runs in folders.items()}
    lost = {name: _lost(runs) for name, runs in folders.items()}
    measures = [key for key in COLUMNS if any(key in found for found in values.values())]
    rows = [["less " + against, *(COLUMNS[key] for key in measures), "facts, seeds"]]
    for name, found in values.items():
        if name == against:
            continue
        got = {
            key: difference(found.get(key, {}), values[against].get(key, {}))
            for key in measures
            if key not in lost[name] | lost[against]
        }
        size = next((f"{one.facts}, {one.seeds}" for one in got.values() if one), "–")
        mark = " †" if lost[name] else ""
        rows.append([name + mark, *(str(got.get(key) or "–") for key in measures), size])
    return aligned(rows)


def _lost(folders: Sequence[Path]) -> set[str]:
    """The measures that some run has no value of after the edit, though Base has one."""
    summaries = [json.loads((one / "summary.json").read_text(encoding="utf-8")) for one in folders]
    return {
        key
        for one in summaries
        for key in COLUMNS
        if one["base"].get(key) is not None and one["unlearned"].get(key) is None
    }


def credits(folders: Sequence[Path]) -> dict[str, Facts]:
    """Measure → credits of the facts of some runs after the edit; a fact without such prompts is left out.

    How an answer's tokens count is the data set's `metric`, which the run has noted.
    """
    found: dict[str, Facts] = {}
    for folder in folders:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        metric = json.loads((folder / "run.json").read_text(encoding="utf-8"))["hashes"]["metric"]
        seed, ppl = summary["seed"], summary["unlearned"].get("ppl")
        if ppl is not None:
            found.setdefault("ppl", {})[seed, ""] = ppl / 100  # `difference` gives points
        for place, key in (("forget", "efficacy"), ("retain", "retain")):
            for row in _rows(folder / f"{place}.jsonl"):
                _note(found, key, seed, row, [row["after"]["efficacy"]], metric)
        for row in _rows(folder / "forget.jsonl"):
            for key in ("generalization", "specificity"):
                _note(found, key, seed, row, row["after"][key], metric)
    return found


def _rows(path: Path) -> list[dict]:
    return [row for row in read_jsonl(path) if row["after"] is not None]


def _note(found: dict[str, Facts], key: str, seed: int, row: dict, prompts: Sequence[dict], metric: str) -> None:
    if prompts:
        credit = statistics.fmean(CREDIT[metric](prompt["correct"]) for prompt in prompts)
        found.setdefault(key, {})[seed, f"{row['case_id']}"] = credit


def difference(ours: Facts, theirs: Facts) -> Difference | None:
    """Mean of ours less theirs over the facts that both have, in points; None where they share none.

    The 95 % percentile interval comes from a two-stage bootstrap with a fixed seed: seeds are drawn with replacement,
    then as many facts of each as it has, anew each time that a seed is drawn. With one seed only facts are drawn.
    """
    by_seed: dict[int, list[float]] = {}
    for key in sorted(ours.keys() & theirs.keys()):
        by_seed.setdefault(key[0], []).append(100 * (ours[key] - theirs[key]))
    if not by_seed:
        return None
    groups, rng = [np.array(values) for values in by_seed.values()], np.random.default_rng(0)
    sizes = np.array([len(one) for one in groups])
    drawn = rng.integers(len(groups), size=(RESAMPLES, len(groups)))
    means = sum(_resampled_sums(groups, place, rng) for place in drawn.T) / sizes[drawn].sum(1)
    whole = np.concatenate(groups)
    low, high = np.quantile(means, [0.025, 0.975]) if len(whole) > 1 else (-math.inf, math.inf)
    return Difference(float(whole.mean()), float(low), float(high), len(whole), len(groups))


def _resampled_sums(groups: Sequence[np.ndarray], place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By resample, the sum over as many facts as the seed has that was drawn for it (`place`, an index of `groups`)."""
    sums = np.empty(len(place))
    for number, one in enumerate(groups):
        chosen = place == number
        sums[chosen] = one[rng.integers(len(one), size=(chosen.sum(), len(one)))].sum(1)
    return sums
