"""``--ledger`` and ``--withdraw``: requests of earlier calls beside those of this one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dsets import Record
from experiments.requests.asking.wanted import Wanted
from experiments.requests.ledger import Ledger, open_ledger, terms_of
from experiments.requests.unlearning.opened import Opened
from util.editing.contexts import generate
from util.hparams import TargetHParams
from util.weights import WeightEdits
from zerounlearn.unlearning import round_to

LEDGER = "the ledger"
"""Place of a request that an earlier call has brought."""


@contextmanager
def ledger_of(opened: Opened) -> Iterator[Ledger | None]:
    """The ledger that the settings name, begun or gone on with, for the block alone; None where they name none.

    What it was begun with must be as now: the model, the method and its hparams, the statistics, the seed.
    """
    settings, hparams = opened.settings, opened.settled.hparams
    if settings.ledger is None:
        yield None
        return
    searching = isinstance(hparams, TargetHParams)
    terms = terms_of(
        opened.model,
        opened.tokenizer,
        settings.alg_name,
        hparams,
        moments=opened.moments(),
        templates=generate(opened.model, opened.tokenizer, settings.seed) if searching else None,
        seed=settings.seed,
    )
    with open_ledger(Path(settings.ledger), terms) as ledger:
        if settings.withdraw is not None:
            ledger.withdraw(_of_request(ledger, settings.withdraw))
        yield ledger


def _of_request(ledger: Ledger, name: str) -> list[str]:
    """The ids of a request's facts: its own, or where it was a subject alone those that begin with it and a slash."""
    there = [one for one in (*ledger.standing, *ledger.withdrawn) if one == name or one.startswith(f"{name}/")]
    return there or [name]


def earlier(ledger: Ledger, wanted: Sequence[Wanted]) -> list[Wanted]:
    """The requests that stand in the ledger and are not among these, each a fact of its own."""
    here = {str(one.id) for one in wanted}
    return [
        Wanted(
            id=name,
            place=LEDGER,
            subject=request.subject,
            record=Record(
                case_id=name,
                prompt=request.prompt,
                subject=request.subject,
                target_true=request.target_true,
                answer_prefix=request.answer_prefix,
            ),
        )
        for name, request in ledger.standing.items()
        if name not in here and name.rpartition("/")[0] not in here
    ]


def solve(ledger: Ledger, opened: Opened) -> WeightEdits:
    """Edit the model so that it has forgotten all that stands, its weights rounded to what they are stored as."""
    edits = ledger.solve(
        opened.model,
        opened.tokenizer,
        moments=opened.moments(),
        batch_tokens=opened.settings.batch_tokens,
        progress=opened.settings.progress,
    )
    round_to(opened.model, edits, opened.stored)
    return edits
