"""What reports share: one HTML file without script or other file, light and dark, down to a phone's width."""

from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c1c1c; --dim: #6a6a6a; --line: #d5d5d5; --bad: #b3261e;
  --good: #1b7a3d; --warn: #9a6700; --cell: #eceff1; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #e8e8e8; --dim: #9aa0a6; --line: #3a3f44;
  --bad: #ff8a80; --good: #81c995; --warn: #fdd663; --cell: #2a2f34; } }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
td:first-child, th:first-child, .text { text-align: left; } td.text { white-space: normal; min-width: 12rem; }
details { margin: .4rem 0; } @media (max-width: 40rem) { td.text { min-width: 8rem; } }
.dim { color: var(--dim); } .forgotten { color: var(--good); } .hidden { color: var(--warn); }
.still { color: var(--bad); } svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 11px; }
.axis { stroke: var(--dim); fill: none; } .empty { fill: var(--cell); } .got { fill: var(--bad); }
.s0 { stroke: #4285f4; fill: none; } .s1 { stroke: var(--bad); fill: none; } .s2 { stroke: var(--dim); fill: none; }
text.s0 { fill: #4285f4; stroke: none; } text.s1 { fill: var(--bad); stroke: none; }
text.s2 { fill: var(--dim); stroke: none; }
"""


def document(title: str, parts: Sequence[str]) -> str:
    """The whole file of these parts, which are HTML."""
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>"
    )
    return head + "\n".join(parts) + "</body></html>\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls by itself where it is wider than the page; cells are HTML, ``<td>`` and all.

    A column whose first cell is of the class ``text`` has its heading on the left, as its cells have theirs.
    """
    first = [cell.partition(">")[0] for cell in rows[0]] if rows else [""] * len(head)
    kinds = [" class='text'" if "class='text" in cell else "" for cell in first]
    top = "".join(f"<th{kind}>{escape(text)}</th>" for text, kind in zip(head, kinds))
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<div class='wide'><table><tr>{top}</tr>{body}</table></div>"
