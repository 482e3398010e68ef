"""An audit as a table on a terminal."""

from collections.abc import Mapping

from experiments.auditing.verdict import NO_WRONG_ANSWERS, rule
from experiments.reporting.table import aligned


def table(result: Mapping) -> str:
    """One line an attack: share recovered with its interval, chance, probability of as much by chance, facts; below
    when an attack accuses, and the skipped ones and why."""
    rows = [["attack", "recovered %", "95 %", "chance %", "p", "facts", ""]]
    for name, one in result["attacks"].items():
        low, high = one["interval"]
        mark = "accuses" if one["accuses"] else "" if one["counted"] else "not counted"
        by_chance = f"{one['chance']:.1f}", f"{one['probability_by_chance']:.2g}"
        rows.append([name, f"{one['recovered']:.1f}", f"{low:.1f}–{high:.1f}", *by_chance, str(one["n"]), mark])
    worst = result["worst"]
    lines = [
        aligned(rows),
        rule(result["level"]),
        *(f"skipped: {name}, {reason}" for name, reason in result["skipped"].items()),
    ]
    if not result["wrong_answers"]:
        lines.append(NO_WRONG_ANSWERS)
    lines.append(
        f"{result['known']} of {result['made_from']['given']} facts were known; worst: {worst['attack']}, "
        f"{worst['recovered']:.1f} % come back (chance {worst['chance']:.1f} %)"
    )
    return "\n".join(lines)
