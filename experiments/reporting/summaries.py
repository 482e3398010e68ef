"""Summaries of finished runs, and which of them may stand in one table and be averaged in one row."""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

ROW = ("alg_name", "model_name", "ds_name", "unlearn_num")
"""What the runs of a row share by name, beside their identity."""

log = logging.getLogger("zerounlearn")


def read_summary(folder: Path) -> dict:
    """summary.json of a run, with its ``folder`` and the ``block`` that its Base belongs to (see `Identity.record`)."""
    identity = json.loads((folder / "run.json").read_text(encoding="utf-8")).get("identity", {})
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return summary | {"folder": str(folder), "block": identity.get("block")}


def run_files(folder: Path, methods: Sequence[str]) -> list[Path]:
    """summary.json of every finished run of the methods, older ones first."""
    found = [path for name in methods for path in (folder / name).glob("*_run_*/summary.json")]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path))


def newest(folders: Iterable[Path]) -> list[dict]:
    """Summaries of runs, given the older first: of each row those of the last one's identity, the last of each seed.

    Runs that were written before runs had an identity are left out, with a warning.
    """
    runs: dict[tuple, list[tuple[str, dict]]] = defaultdict(list)
    nameless = 0
    for folder in folders:
        identity = json.loads((folder / "run.json").read_text(encoding="utf-8")).get("identity")
        if identity is None:
            nameless += 1
            continue
        summary = read_summary(folder)
        runs[*(summary[name] for name in ROW), identity["block"]].append((identity["row"], summary))
    if nameless:
        log.warning("%d runs of an earlier version say not what decided their numbers and are left out", nameless)
    chosen: list[dict] = []
    for row, found in runs.items():
        last, _ = found[-1]
        same = [summary for identity, summary in found if identity == last]
        if len(same) < len(found):
            log.warning(
                "%s, %s, %s, %d facts: %d runs with other hparams or flags or code than the newest are left out",
                *row[: len(ROW)],
                len(found) - len(same),
            )
        chosen += {summary["seed"]: summary for summary in same}.values()
    return sorted(chosen, key=lambda s: (s["model_name"], s["ds_name"], s["unlearn_num"], s["seed"]))
