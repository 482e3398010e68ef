"""Tables of runs: a row per method beside Base, a block per data set; mean ± population standard deviation over seeds."""

from collections.abc import Iterable, Sequence

from experiments.metrics import mean_and_deviation

COLUMNS = {
    "efficacy": "Eff ↓",
    "generalization": "Gen ↓",
    "specificity": "Spe ↑",
    "retain": "Retain ↑",
    "same_subject": "Same subj.",
    "ppl": "PPL ↓",
}
"""Key of a summary → heading."""

PPL_SHOWN = 1000


def cell(key: str, values: Sequence[float | None]) -> str:
    """Mean ± deviation with two decimals (one seed: the value alone); ``>1000`` for such a PPL; – where there is none."""
    found = mean_and_deviation(values)
    if found is None:
        return "–"
    mean, deviation = found
    if key == "ppl" and mean > PPL_SHOWN:
        return f">{PPL_SHOWN}"
    return f"{mean:.2f} ± {deviation:.2f}" if len(values) > 1 else f"{mean:.2f}"


def rows_of(summaries: Sequence[dict], methods: Iterable[str]) -> list[tuple[str, dict[str, list]]]:
    """(row name, column → values over seeds) for one data set: Base from one run per seed, then each method."""
    by_seed = {summary["seed"]: summary for summary in summaries}
    rows = [("Base", {key: [s["base"].get(key) for s in by_seed.values()] for key in COLUMNS})]
    for name in methods:
        runs = [summary for summary in summaries if summary["alg_name"] == name]
        if runs and name != "BASE":
            mark = " †" if any(run.get("collapse") for run in runs) else ""
            rows.append((name + mark, {key: [run["unlearned"].get(key) for run in runs] for key in COLUMNS}))
    return rows


def markdown(summaries: Sequence[dict], methods: Sequence[str]) -> str:
    """One block per (model, data set), in the order of the summaries, as aligned Markdown."""
    blocks = []
    for model, data in dict.fromkeys((s["model_name"], s["ds_name"]) for s in summaries):
        chosen = [s for s in summaries if (s["model_name"], s["ds_name"]) == (model, data)]
        counts = " or ".join(str(count) for count in sorted({s["unlearn_num"] for s in chosen}))
        seeds = len({s["seed"] for s in chosen})
        title = f"{model}, {data}: {counts} facts, {seeds} seed{'s' if seeds > 1 else ''}"
        body = [[name, *(cell(key, values[key]) for key in COLUMNS)] for name, values in rows_of(chosen, methods)]
        blocks.append(f"{title}\n\n{aligned([['', *COLUMNS.values()], *body])}")
    if any(s.get("collapse") for s in summaries):
        blocks.append("† collapsed: see `collapse` in the run's summary.json.")
    return "\n\n".join(blocks)


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
