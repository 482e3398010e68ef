"""Tables of runs: a row per method beside Base, a block per data set; mean ± population deviation over seeds."""

import math
from collections.abc import Callable, Iterable, Sequence

from experiments.measuring.metrics import mean_and_deviation

COLUMNS = {
    "efficacy": "Eff ↓",
    "generalization": "Gen ↓",
    "specificity": "Spe ↑",
    "retain": "Retain ↑",
    "same_subject": "Same subj.",
    "ppl": "PPL ↓",
}
"""Key of a summary → heading."""

MORE = {
    "published_efficacy": "Eff, as published ↓",
    "published_generalization": "Gen, as published ↓",
    "published_specificity": "Spe, as published ↑",
    "entropy": "Entropy",
    "reference": "Reference ↓",
    "silent": "Silent",
    "level_1": "Level 1 ↓",
    "level_2": "Level 2 ↓",
    "level_3": "Level 3 ↓",
    "neighbor_1": "Neighbor 1 ↑",
    "neighbor_2": "Neighbor 2 ↑",
    "sst2": "SST-2 ↑",
    "mrpc": "MRPC ↑",
    "mrpc_f1": "MRPC F1 ↑",
    "cola": "CoLA ↑",
    "rte": "RTE ↑",
    "nli": "NLI ↑",
    "mnli": "MNLI ↑",
    "mmlu": "MMLU ↑",
}
"""The same for what only some runs measure: --compat, generation tests, levels, downstream tasks; a second table."""

PPL_SHOWN = 1000


def cell(key: str, values: Sequence[float | None]) -> str:
    """Mean ± deviation with two decimals (one seed: the value alone); ``>1000`` for such a PPL; – where none is.

    Seeds without a value (None) do not count, and ``(n=…)`` says how many do; one alone has no deviation. A seed whose
    value broke (NaN) breaks the mean.
    """
    if math.inf in values:
        return f">{PPL_SHOWN}"
    broken = any(value is not None and math.isnan(value) for value in values)
    found = None if broken else mean_and_deviation(values)
    if found is None:
        return "–"
    mean, deviation = found
    if key == "ppl" and mean > PPL_SHOWN:
        return f">{PPL_SHOWN}"
    count = sum(value is not None for value in values)
    text = f"{mean:.2f} ± {deviation:.2f}" if count > 1 else f"{mean:.2f}"
    return text if count == len(values) else f"{text} (n={count})"


def rows_of(
    summaries: Sequence[dict], labels: Iterable[str], columns: Iterable[str] = COLUMNS
) -> list[tuple[str, dict[str, list]]]:
    """(row name, column → values over seeds) for one block: Base from one run per seed, then each row's runs."""
    by_seed = {summary["seed"]: summary for summary in summaries}
    rows = [("Base", {key: [summary["base"].get(key) for summary in by_seed.values()] for key in columns})]
    for label in dict.fromkeys(labels):
        runs = [summary for summary in summaries if summary.get("row", summary["alg_name"]) == label]
        if runs and label != "BASE":
            mark = " †" if any(run.get("collapse") for run in runs) else ""
            rows.append((label + mark, {key: [_after(run, key) for run in runs] for key in columns}))
    return rows


def _after(run: dict, key: str) -> float | None:
    """The value after the edit. Where a collapse left none though Base has one: infinite (PPL), or NaN."""
    value = run["unlearned"].get(key)
    if value is None and run.get("collapse") and run["base"].get(key) is not None:
        return math.inf if key == "ppl" else math.nan
    return value


def markdown(
    summaries: Sequence[dict], labels: Sequence[str], below: Callable[[list[dict]], str | None] = lambda _: None
) -> str:
    """One block per (model, data set, number of facts, text of the PPL, Base), in the summaries' order, in Markdown.

    Blocks that differ in Base alone (other weights, facts to watch, code) have the beginning of its key in the title.
    Where a run of the block measured something of MORE, a second table has those columns.
    labels: names of the rows below Base, in order; a summary belongs to its ``row``, else to its ``alg_name``. below:
    what stands below a block's tables, from its summaries.
    """
    texts = []
    for title, chosen in blocks(summaries):
        measured = {name: head for name, head in MORE.items() if any(_has(summary, name) for summary in chosen)}
        tables = [_table(chosen, labels, columns) for columns in (COLUMNS, measured) if columns]
        texts.append("\n\n".join(text for text in (title, *tables, below(chosen)) if text))
    if any(summary.get("collapse") for summary in summaries):
        texts.append("† collapsed: see `collapse` in the run's summary.json.")
    return "\n\n".join(texts)


def blocks(summaries: Sequence[dict]) -> list[tuple[str, list[dict]]]:
    """(title, summaries) of each block, in the summaries' order."""
    keys = list(dict.fromkeys(map(_block, summaries)))
    named = [key[:-1] for key in keys]
    found = []
    for key in keys:
        chosen = [one for one in summaries if _block(one) == key]
        seeds = len({summary["seed"] for summary in chosen})
        title = f"{key[0]}, {key[1]}: {_count(key[2], 'fact')}, {_count(seeds, 'seed')}"
        title += f", PPL on {key[3]}" if key[3] not in (None, "none") else ""
        title += _counts(chosen)
        title += f", Base {key[4][:8]}" if key[4] and named.count(key[:-1]) > 1 else ""
        found.append((title, chosen))
    return found


def _counts(summaries: Sequence[dict]) -> str:
    """Over how many facts Gen is, where not all have paraphrases, and how many answers are right by chance: by always
    giving the relation's most frequent one (of each seed's facts, which all methods share)."""
    fewest = min((summary["n"]["generalization"] for summary in summaries if "n" in summary), default=0)
    text = f", Gen over {fewest}" if 0 < fewest < summaries[0]["unlearn_num"] else ""
    by_seed = {one["seed"]: one["chance"] for one in summaries if one.get("chance") is not None}
    return text + (f", right by chance {sum(by_seed.values()) / len(by_seed):.2f}" if by_seed else "")


def _has(summary: dict, key: str) -> bool:
    return any(summary[side].get(key) is not None for side in ("base", "unlearned"))


def _table(summaries: Sequence[dict], labels: Sequence[str], columns: dict[str, str]) -> str:
    rows = rows_of(summaries, labels, columns)
    return aligned(
        [["", *columns.values()], *([name, *(cell(key, values[key]) for key in columns)] for name, values in rows)]
    )


def _block(summary: dict) -> tuple[str, str, int, str | None, str | None]:
    named = summary["model_name"], summary["ds_name"], summary["unlearn_num"]
    return *named, summary.get("ppl_text"), summary.get("block")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table with padded cells; the first row is the heading, numbers stand to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_line([_pad(text, widths[i], i) for i, text in enumerate(row)]) for row in rows]
    rule = _line(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join([lines[0], rule, *lines[1:]])


def _pad(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column == 0 else text.rjust(width)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
