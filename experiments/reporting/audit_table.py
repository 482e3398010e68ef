"""An audit as a table on a terminal."""

from collections.abc import Mapping

from experiments.auditing.verdict import NO_WRONG_ANSWERS
from experiments.reporting.table import aligned


def table(result: Mapping) -> str:
    """One line an attack: share recovered with its interval, chance, facts; the skipped ones and why below."""
    rows = [["attack", "recovered %", "95 %", "chance %", "facts", ""]]
    for name, one in result["attacks"].items():
        low, high = one["interval"]
        mark = "accuses" if one["accuses"] else "" if one["counted"] else "not counted"
        rows.append(
            [name, f"{one['recovered']:.1f}", f"{low:.1f}–{high:.1f}", f"{one['chance']:.1f}", str(one["n"]), mark]
        )
    worst = result["worst"]
    lines = [aligned(rows), *(f"skipped: {name}, {reason}" for name, reason in result["skipped"].items())]
    if not result["wrong_answers"]:
        lines.append(NO_WRONG_ANSWERS)
    lines.append(
        f"{result['known']} of {result['made_from']['given']} facts were known; worst: {worst['attack']}, "
        f"{worst['recovered']:.1f} % come back (chance {worst['chance']:.1f} %)"
    )
    return "\n".join(lines)
