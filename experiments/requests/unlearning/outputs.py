"""What unlearn.py leaves: whether it can be written, the report's files, and what is printed of it."""

from collections.abc import Mapping
from pathlib import Path

from experiments.reporting.table import aligned
from experiments.requests.evidence.evidence_page import page
from experiments.requests.evidence.status import GONE, NOT_KNOWN
from experiments.requests.unlearning.kept_requests import check_ledger
from experiments.requests.unlearning.model_folder import check_folder
from experiments.requests.unlearning.unlearn_settings import UnlearnSettings
from util import paths
from util.errors import UserError
from util.runs import check_writable, run_folder, write_json, write_text

SHOWN = 40
LONGEST = 30
"""Letters of a cell."""


def check_outputs(settings: UnlearnSettings, source: str) -> None:
    """UserError, before anything takes long, for results that could not be written."""
    if settings.save_model:
        check_folder(Path(settings.save_model), source)
    if settings.save_patch:
        path = Path(settings.save_patch)
        if path.exists():
            raise UserError(f"--save_patch {path} exists; name a new file")
        check_writable(path.parent, "--save_patch")
    check_ledger(settings)
    if not settings.dry_run:
        check_writable(Path(settings.report) if settings.report else paths.results_dir(None), "--report")


def write_report(settings: UnlearnSettings, report: dict[str, object]) -> Path:
    """Write report.json and report.html into ``--report``, or into a new folder among the results; returns it."""
    if settings.report:
        _write(Path(settings.report), report)
        return Path(settings.report)
    with run_folder(paths.results_dir(None) / "unlearn", Path(settings.model_name).name) as claim:
        _write(claim.partial, report)
    assert claim.final is not None, "the block has ended well"
    return claim.final


def _write(folder: Path, report: dict[str, object]) -> None:
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", page(report))


def table(report: Mapping) -> str:
    """A line a request: status, and what is said in its prompt before and now with the answer's probability."""
    rows = [["request", "subject", "status", "before", "p", "now", "p"]]
    requests = report["requests"]
    for one in requests[:SHOWN]:
        said = [cell for time in ("before", "after") for cell in _said(one[time])]
        rows.append([_short(str(one["id"])), _short(one["subject"]), one["status"], *said])
    more = [f"and {len(requests) - SHOWN} more requests"] if len(requests) > SHOWN else []
    return "\n".join([aligned(rows), *more, _kept(report)])


def _said(one: Mapping | None) -> tuple[str, str]:
    if one is None:
        return "–", "–"
    return _short(one["text"]) or "(nothing)", "–" if one["probability"] is None else f"{one['probability']:.3g}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _kept(report: Mapping) -> str:
    parts = []
    for kind in ("neighbours", "same_subject", "retain"):
        one = report[kind]
        if one["n"]:
            parts.append(f"{kind.replace('_', ' ')} {one['after']:.1f} % of {one['n']}")
    ppl = report["ppl"]
    if ppl["before"] is not None:
        now = "not finite" if ppl["after"] is None else f"{ppl['after']:.3f}"
        parts.append(f"PPL {ppl['before']:.3f} → {now}")
    return "still known: " + ", ".join(parts) if parts else "nothing else was watched"


def headline(report: Mapping) -> str:
    """The outcome in a few words."""
    counts = report["counts"]
    if not report["requests"]:
        return "no request stands any more: the model is the unedited one"
    asked = len(report["requests"]) - counts[NOT_KNOWN]
    if not asked:
        return "nothing was known, nothing was changed"
    return "all gone" if report["all_gone"] else f"{counts[GONE]} of {asked} gone"
