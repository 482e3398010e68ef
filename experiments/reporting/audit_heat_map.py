"""What attacks get over chance, attack by method, as one SVG: for eyes of every kind, on light and on dark paper.

Vermilion is more than chance, blue is less (Okabe and Ito's colours, which the colour-blind tell apart), and every cell
says its number, so that nothing hangs on the colour.
"""

from collections.abc import Mapping
from html import escape
from typing import Any

from experiments.auditing.markup import document, table
from experiments.reporting.audit_comparison import attacks_of

LABELS, WIDE, HIGH, TOP = 140, 104, 20, 26
STYLE = """
.heat { font: 11px system-ui, sans-serif; }
.heat text { fill: #1c1c1c; } .heat .more { fill: #d55e00; } .heat .less { fill: #0072b2; }
.heat .none { fill: #eceff1; } .heat .said { text-anchor: middle; }
@media (prefers-color-scheme: dark) { .heat text { fill: #f1f1f1; } .heat .none { fill: #2a2f34; } }
"""


def heat_map(comparison: Mapping[str, Any]) -> str:
    """The SVG, which stands alone as a file and inside a page. A cell's title says attack, method and deviation."""
    methods, names = comparison["methods"], attacks_of(comparison)
    parts = [
        f"<text class='said' x='{_x(i) + WIDE / 2}' y='16'>{escape(name)}</text>" for i, name in enumerate(methods)
    ]
    for row, name in enumerate(names):
        parts.append(f"<text x='0' y='{_y(row) + 14}'>{escape(name)}</text>")
        for column, (method, one) in enumerate(methods.items()):
            parts.append(_cell(name, method, one["attacks"].get(name), _x(column), _y(row)))
    width, height = _x(len(methods)), _y(len(names))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' class='heat' viewBox='0 0 {width} {height}' width='{width}' "
        f"height='{height}' role='img' aria-label='points over chance, attack by method'><style>{STYLE}</style>"
        f"{''.join(parts)}</svg>\n"
    )


def _x(column: int) -> int:
    return LABELS + column * WIDE


def _y(row: int) -> int:
    return TOP + row * HIGH


def _cell(name: str, method: str, attack: Mapping[str, Any] | None, x: int, y: int) -> str:
    where = f"x='{x}' y='{y}' width='{WIDE - 1}' height='{HIGH - 1}'"
    excess = attack["excess"]["mean"] if attack else 0.0
    kind, strength = ("more" if excess > 0 else "less"), min(100.0, abs(excess)) / 100
    title = _title(name, method, attack)
    colour = f"<rect class='{kind}' {where} fill-opacity='{strength:.2f}'/>" if strength else ""
    said = str(round(excess)) if attack else "–"
    return (
        f"<g><title>{escape(title)}</title><rect class='none' {where}/>{colour}"
        f"<text class='said' x='{x + WIDE / 2}' y='{y + 14}'>{said}</text></g>"
    )


def _title(name: str, method: str, attack: Mapping[str, Any] | None) -> str:
    if not attack:
        return f"{name}, {method}: not tried"
    excess, got, chance = attack["excess"], attack["recovered"]["mean"], attack["chance"]["mean"]
    return (
        f"{name}, {method}: {excess['mean']:.1f} ± {excess['std']:.1f} points ({got:.1f} %, by chance {chance:.1f} %)"
    )


def page(comparison: Mapping[str, Any]) -> str:
    """One HTML file: the heat map, and each method's verdicts and worst case."""
    rows = [
        [
            f"<td>{escape(name)}</td>",
            f"<td>{len(one['seeds'])}</td>",
            f"<td>{one['worst']['mean']:.1f} ± {one['worst']['std']:.1f}</td>",
            f"<td class='text'>{escape(', '.join(f'{n} {said}' for said, n in one['verdicts'].items()))}</td>",
        ]
        for name, one in comparison["methods"].items()
    ]
    parts = [
        "<h1>Audits compared</h1>",
        "<p>What each attack gets back of the facts, less what it gets by chance, in points. "
        "Orange is more than chance, blue is less.</p>",
        f"<div class='wide'>{heat_map(comparison)}</div>",
        "<h2>Verdicts</h2>",
        table(["method", "seeds", "worst that counts, points", "verdicts"], rows),
    ]
    return document("Audits compared", parts)
