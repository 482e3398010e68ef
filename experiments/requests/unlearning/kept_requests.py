"""``--ledger`` and ``--withdraw``: requests of earlier calls beside those of this one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dsets import Record
from experiments.requests.asking.wanted import Wanted, request_of
from experiments.requests.evidence.watching import choose_neighbors, choose_protected
from experiments.requests.ledger import Ledger, open_ledger
from experiments.requests.ledger_records import has_records
from experiments.requests.ledger_terms import chosen_by, terms_of
from experiments.requests.unlearning.opened import Opened
from experiments.requests.unlearning.unlearn_settings import UnlearnSettings
from util.editing.contexts import generate
from util.errors import UserError
from util.hparams import TargetHParams
from util.request import Request
from util.runs import check_writable
from util.weights import WeightEdits

LEDGER = "the ledger"
"""Place of a request that an earlier call has brought."""


@contextmanager
def ledger_of(opened: Opened) -> Iterator[Ledger | None]:
    """The ledger that the settings name, begun or gone on with, for the block alone; None where they name none.

    What it was begun with must be as now: the model, the method and its hparams, the statistics, the seed. The facts
    that are protected, and the subjects that are left alone in the requests' prompt forms, are chosen when it is begun,
    whatever is requested, and stay the same.
    """
    settings, hparams = opened.settings, opened.settled.hparams
    if settings.ledger is None:
        yield None
        return
    searching = isinstance(hparams, TargetHParams)
    folder = Path(settings.ledger)
    protected, neighbors = chosen_by(folder) or (_to_protect(opened), choose_neighbors(opened.facts, settings.seed))
    terms = terms_of(
        opened.model,
        opened.tokenizer,
        settings.alg_name,
        hparams,
        moments=opened.moments(),
        templates=generate(opened.model, opened.tokenizer, settings.seed) if searching else None,
        protected=protected,
        neighbors=neighbors,
        seed=settings.seed,
    )
    with open_ledger(folder, terms) as ledger:
        if settings.withdraw is not None:
            ledger.withdraw(_of_request(ledger, settings.withdraw))
        yield ledger


def _to_protect(opened: Opened) -> list[Request]:
    """Known facts for a new ledger to protect; those about a subject that is to be forgotten step back at the solve."""
    with opened.watch.stage("asking"):
        found = choose_protected(
            opened.model,
            opened.tokenizer,
            opened.facts,
            seed=opened.settings.seed,
            batch_tokens=opened.scoring_tokens,
            progress=opened.settings.progress,
        )
    return [record.request() for record in found]


def check_ledger(settings: UnlearnSettings) -> None:
    """UserError, before the model is loaded, for a folder that is no ledger, and for a withdrawal from none."""
    folder = Path(settings.ledger) if settings.ledger else None
    if folder is None or has_records(folder):
        return
    if settings.withdraw is not None:
        raise UserError(f"--withdraw {settings.withdraw}: there is no ledger in {folder}; correct --ledger")
    if folder.exists() and (not folder.is_dir() or any(one.name != ".lock" for one in folder.iterdir())):
        raise UserError(f"--ledger {folder} exists and is no ledger; name a new folder, or that of an earlier call")
    check_writable(folder.parent, "--ledger")


def _of_request(ledger: Ledger, name: str) -> list[str]:
    """The ids of a request's facts: its own, or where it was a subject alone those that `request_of` gives it."""
    there = [one for one in (*ledger.standing, *ledger.withdrawn) if name in (one, request_of(one))]
    return there or [name]


def earlier(ledger: Ledger, wanted: Sequence[Wanted]) -> list[Wanted]:
    """The requests that stand in the ledger and are not among these, with the facts that they came to."""
    here = {str(one.id) for one in wanted}
    found: dict[str, list[Record]] = {}
    for name, request in ledger.standing.items():
        if name not in here and request_of(name) not in here:
            record = Record(
                case_id=name,
                prompt=request.prompt,
                subject=request.subject,
                target_true=request.target_true,
                answer_prefix=request.answer_prefix,
            )
            found.setdefault(request_of(name), []).append(record)
    return [
        Wanted(id=name, place=LEDGER, subject=records[0].subject, settled=tuple(records))
        for name, records in found.items()
    ]


def solve(ledger: Ledger, opened: Opened) -> WeightEdits:
    """Edit the model so that it has forgotten all that stands, its weights rounded to what they are stored as."""
    return ledger.solve(
        opened.model,
        opened.tokenizer,
        moments=opened.moments(),
        stored_as=opened.stored,
        batch_tokens=opened.settings.batch_tokens,
        progress=opened.settings.progress,
    )
