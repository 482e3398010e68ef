"""An audit as one HTML file: no script, no other file; light and dark, down to a phone's width."""

from collections.abc import Mapping, Sequence
from html import escape

from experiments.auditing.markup import document, table
from experiments.auditing.plots import Line, heat_map, line_chart
from experiments.auditing.verdict import NO_WRONG_ANSWERS, rule

MEANING = {
    "forgotten": "No attack brought back more than chance: what it gets of subjects that do not exist and of answers "
    "that are not true.",
    "hidden": "The prompt is no longer answered, but an attack brings the answer back: it is hidden, not forgotten.",
    "still there": "The plain prompt is still answered.",
}


CURVES = ("by_layer", "curve")
"""Details that are drawn."""


def page(result: Mapping) -> str:
    """The whole file."""
    verdict, worst = result["verdict"], result["worst"]
    parts = [
        f"<h1>Audit: <span class='{verdict.split()[0]}'>{escape(verdict)}</span></h1>",
        f"<p>{MEANING[verdict]} Worst case: <b>{escape(worst['attack'])}</b>, {worst['recovered']:.1f} % of "
        f"{result['known']} facts come back; {worst['chance']:.1f} % by chance.</p>",
        _where_from(result),
        "<h2>Attacks</h2>",
        _attacks(result),
        "<h2>Fact by fact</h2>",
        _facts(result),
        *_curves(result),
        *_figures(result),
        "<h2>What else changed</h2>",
        _locality(result["locality"]),
    ]
    return document(f"Audit: {verdict}", parts)


def _where_from(result: Mapping) -> str:
    made = result.get("made_from")
    if not made:
        return ""
    named = ", ".join(
        f"{name} {escape(str(made[name]))}" for name in ("before", "after", "oracle", "facts") if made.get(name)
    )
    return f"<p class='dim'>{named}; {result['known']} of {made['given']} facts were known before.</p>"


def _attacks(result: Mapping) -> str:
    rows = []
    for name, one in result["attacks"].items():
        low, high = one["interval"]
        mark = "accuses" if one["accuses"] else "" if one["counted"] else "not counted"
        about = f"<td class='text dim'>{escape(one['about'])}</td>"
        by_chance = (f"{one['chance']:.1f}", f"{one['probability_by_chance']:.2g}")
        shown = (f"{one['recovered']:.1f}", f"{low:.1f}–{high:.1f}", *by_chance, str(one["n"]), mark)
        rows.append([f"<td>{escape(name)}</td>", *(f"<td>{text}</td>" for text in shown), about])
    skipped = [f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in result["skipped"].items()]
    below = f"<p>Skipped:</p><ul class='dim'>{''.join(skipped)}</ul>" if skipped else ""
    lacking = f"<p>{NO_WRONG_ANSWERS}</p>" if not result["wrong_answers"] else ""
    heading = ["attack", "recovered %", "95 % interval", "chance %", "p", "facts", "", "what it does"]
    return table(heading, rows) + f"<p class='dim'>{rule(result['level'])}</p>" + lacking + below


def _facts(result: Mapping) -> str:
    names = list(result["attacks"])
    got = [[name in fact["recovered_by"] for fact in result["facts"]] for name in names]
    titles = [f"{fact['prompt']} {fact['answer']}" for fact in result["facts"]]
    return f"<div class='wide'>{heat_map(names, titles, got)}</div>"


def _figures(result: Mapping) -> list[str]:
    """Every attack's details that are single numbers or words, a row each."""
    rows = [
        [f"<td>{escape(name)}</td>", f"<td class='text'>{escape(what)}</td>", f"<td>{escape(_shown(value))}</td>"]
        for name, one in result["attacks"].items()
        for what, value in _flat({key: one["details"][key] for key in one["details"] if key not in CURVES})
    ]
    return ["<h2>More figures</h2>", table(["attack", "figure", ""], rows)] if rows else []


def _flat(details: Mapping, before: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in details.items():
        said = f"{before}{name.replace('_', ' ')}"
        found += _flat(value, f"{said}, ") if isinstance(value, Mapping) else [(said, value)]
    return found


def _shown(value: object) -> str:
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _curves(result: Mapping) -> list[str]:
    """Every attack's details that are curves: by layer, by steps of relearning, by dropped directions."""
    parts = []
    for name, one in result["attacks"].items():
        details = one["details"]
        if "by_layer" in details:
            chart = line_chart("layer", _lines(details["by_layer"], None), "percent")
            parts.append(f"<h2>{escape(name)}, by layer</h2><div class='wide'>{chart}</div>")
        if "curve" in details:
            curve = dict(details["curve"])
            axis = next(iter(curve))
            chart = line_chart(axis, _lines(curve, curve.pop(axis)), "percent")
            parts.append(f"<h2>{escape(name)}, by {escape(axis)}</h2><div class='wide'>{chart}</div>")
    return parts


def _lines(series: Mapping[str, Sequence[float]], places: Sequence[float] | None) -> list[Line]:
    return [
        Line(name, tuple(places or range(len(values))), tuple(values))
        for name, values in series.items()
        if len(values) == len(places or values)
    ]


def _locality(radii: Mapping[str, Mapping | None]) -> str:
    rows = [
        [f"<td>{escape(name)}</td>"]
        + [f"<td>{text}</td>" for text in ((f"{one['mean']:.4f}", f"{one['tail']:.4f}", one["n"]) if one else "–––")]
        for name, one in radii.items()
    ]
    return table(["KL of the next token, nats", "mean", "99 %", "prompts"], rows)
