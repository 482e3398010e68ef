"""Audits of several methods side by side: what each attack gets over chance, over seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.measuring.metrics import mean_and_deviation
from experiments.reporting.table import aligned
from util.errors import UserError

FIGURES = ("recovered", "chance", "excess")
"""Of an attack, in percent; excess: recovered less chance."""


@dataclass(frozen=True)
class Audit:
    """One audit.json under the name of its method."""

    method: str
    path: Path
    result: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """``--seed`` of audit.py."""
        return self.result["made_from"]["key"]["seed"]

    @property
    def made_by(self) -> dict[str, object]:
        """What all audits must have in common, of each attack as far as they have tried it."""
        attacks = {f"version of {name}": one.get("version", 1) for name, one in self.result["attacks"].items()}
        before = self.result["made_from"]["key"]["before"]
        return {"model before": before, "version": self.result.get("version"), **attacks}

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Prompts with their answers, which audits of one seed must have in common."""
        return sorted((one["prompt"], one["answer"]) for one in self.result["facts"])


def read(given: str) -> Audit:
    """NAME=PATH, the path that of an audit.json or of its folder. UserError for anything else."""
    name, parted, text = given.partition("=")
    if not (name and parted and text):
        raise UserError(
            f"{given!r} is no NAME=PATH; give a method's name and its audit.json, such as MEMIT=results/audit"
        )
    path = Path(text) / "audit.json" if Path(text).is_dir() else Path(text)
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); name what audit.py has written") from error
    lacking = {"attacks", "facts", "verdict", "made_from"} - set(result if isinstance(result, dict) else ())
    if lacking:
        raise UserError(f"{path} is no audit of audit.py: it has no {min(lacking)}")
    return Audit(name, path, result)


def check(audits: Sequence[Audit]) -> None:
    """UserError where two audits are not of one model and one version, or of one seed and other facts or one method."""
    first: dict[int, Audit] = {}
    made: dict[str, tuple[object, Audit]] = {}
    for audit in audits:
        for name, value in audit.made_by.items():
            known, other = made.setdefault(name, (value, audit))
            if known != value:
                raise UserError(
                    f"{other.path} and {audit.path} have another {name}: they say nothing about each other; make one "
                    "again with audit.py, or leave it out"
                )
        one = first.setdefault(audit.seed, audit)
        if audit.facts != one.facts:
            raise UserError(
                f"{one.path} and {audit.path} both have seed {audit.seed} and other facts: they say nothing about each "
                "other; give audits of other facts other seeds (audit.py --seed)"
            )
    seen: dict[tuple[str, int], Audit] = {}
    for audit in audits:
        other = seen.setdefault((audit.method, audit.seed), audit)
        if other is not audit:
            raise UserError(f"{other.path} and {audit.path} are both {audit.method}, seed {audit.seed}; leave one out")


def pooled(audits: Sequence[Audit]) -> dict[str, Any]:
    """Method → seeds, verdicts, worst case, and per attack each of FIGURES as mean, deviation and number of seeds.

    The depth score too, and KL(before ‖ after) at each distance, mean and tail.
    """
    methods = dict.fromkeys(audit.method for audit in audits)
    return {"methods": {name: _method([one for one in audits if one.method == name]) for name in methods}}


def _method(audits: Sequence[Audit]) -> dict[str, Any]:
    names = dict.fromkeys(name for audit in audits for name in audit.result["attacks"])
    verdicts = [audit.result["verdict"] for audit in audits]
    worst = [max((one["recovered"] - one["chance"]) for one in _counted(audit)) for audit in audits]
    return {
        "seeds": [audit.seed for audit in audits],
        "facts": [len(audit.result["facts"]) for audit in audits],
        "verdicts": {one: verdicts.count(one) for one in dict.fromkeys(verdicts)},
        "worst": _over_seeds(worst),
        "attacks": {name: _attack([audit.result["attacks"].get(name) for audit in audits]) for name in names},
        "depth_score": _over_seeds([score for audit in audits if (score := _depth_score(audit)) is not None]),
        "locality": {
            radius: {figure: _over_seeds([one[figure] for one in moved]) for figure in ("mean", "tail")}
            for radius, moved in _locality(audits).items()
        },
    }


def _depth_score(audit: Audit) -> float | None:
    return audit.result["attacks"].get("depth", {}).get("details", {}).get("depth")


def _locality(audits: Sequence[Audit]) -> dict[str, list[Mapping[str, float]]]:
    """Distance → KL of the audits that have prompts there."""
    found: dict[str, list[Mapping[str, float]]] = {}
    for audit in audits:
        for radius, moved in audit.result.get("locality", {}).items():
            if moved is not None:
                found.setdefault(radius, []).append(moved)
    return found


def _counted(audit: Audit) -> list[Mapping[str, Any]]:
    return [one for one in audit.result["attacks"].values() if one["counted"]]


def _attack(found: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    rows = [{**one, "excess": one["recovered"] - one["chance"]} for one in found if one is not None]
    figures = {name: _over_seeds([row[name] for row in rows]) for name in FIGURES}
    return figures | {"accuses": sum(row["accuses"] for row in rows), "counted": rows[0]["counted"]}


def _over_seeds(values: Sequence[float]) -> dict[str, float]:
    mean, deviation = mean_and_deviation(values) or (0.0, 0.0)
    return {"mean": mean, "std": deviation, "n": len(values)}


def attacks_of(comparison: Mapping[str, Any]) -> list[str]:
    """Names of all attacks, in the audits' order."""
    return list(dict.fromkeys(name for one in comparison["methods"].values() for name in one["attacks"]))


def markdown(comparison: Mapping[str, Any]) -> str:
    """Points over chance, a row an attack and a column a method.

    Verdicts and worst case on top; the depth score and what else changed below.
    """
    methods = comparison["methods"]
    rows = [
        ["points over chance", *methods],
        ["seeds", *(str(len(one["seeds"])) for one in methods.values())],
        ["verdicts", *(", ".join(f"{n} {name}" for name, n in one["verdicts"].items()) for one in methods.values())],
        ["worst that counts", *(_said(one["worst"], len(one["seeds"])) for one in methods.values())],
    ]
    for name in attacks_of(comparison):
        found = [(one["attacks"].get(name), len(one["seeds"])) for one in methods.values()]
        mark = "" if any(one and one["counted"] for one, _ in found) else " †"
        cells = [_said(one["excess"], seeds) + _stars(one) if one else "–" for one, seeds in found]
        rows.append([name + mark, *cells])
    if any(one["depth_score"]["n"] for one in methods.values()):
        cells = [_said(one["depth_score"], len(one["seeds"]), 2) for one in methods.values()]
        rows.append(["depth score (1 gone, 0 all there)", *cells])
    for radius in dict.fromkeys(radius for one in methods.values() for radius in one["locality"]):
        moved = [(one["locality"].get(radius), len(one["seeds"])) for one in methods.values()]
        cells = [_said(one["mean"], seeds, 3) if one else "–" for one, seeds in moved]
        rows.append([f"KL, {radius}, nats", *cells])
    below = "Mean ± population deviation over seeds. *: accuses, as often as it says. †: not counted. –: not tried."
    return f"{aligned(rows)}\n\n{below}"


def _said(value: Mapping[str, float], seeds: int, digits: int = 1) -> str:
    if not value["n"]:
        return "–"
    few = f" (n = {value['n']})" if value["n"] < seeds else ""
    return f"{value['mean']:.{digits}f} ± {value['std']:.{digits}f}{few}"


def _stars(attack: Mapping[str, Any]) -> str:
    return f" *{attack['accuses']}" if attack["accuses"] else ""
