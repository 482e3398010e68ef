"""What all models of a ledger are made with, and what it leaves alone whatever is requested."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import Record
from dsets.splits import existing_subjects
from experiments.requests.ledger_records import has_records, open_chain
from util.editing.contexts import Templates
from util.editing.setting import Moments
from util.hparams import HParams
from util.request import Frame, Request
from util.tokens import tokenizer_hash
from util.weights import checksums, weights_hash

VERSION = 3
"""Raise when the same requests would lead to other weights."""
OF_NEIGHBORS = ("case_id", "prompt", "subject", "target_true", "relation_id")
"""What is kept of a record of a neighbour."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What all models of a ledger are made with; its first record holds it. weights, tokenizer: fingerprints of the
    base. statistics: what identifies the second moments (`moments_hash`), None without. protected: facts to keep, for
    methods that read some. neighbors: records of subjects to leave alone in the requests' prompt forms, for methods
    that do; only what `neighbors_of` reads of them. templates: context templates.
    """

    weights: str
    tokenizer: str
    alg_name: str
    hparams: HParams
    statistics: str | None
    templates: Templates | None
    protected: tuple[Request, ...] = ()
    neighbors: tuple[Record, ...] = ()
    seed: int = 0

    def body(self) -> dict[str, Any]:
        """As a record holds it."""
        values = vars(self) | {
            "hparams": self.hparams.model_dump(mode="json"),
            "protected": [asdict(fact) for fact in self.protected],
            "neighbors": [{name: getattr(one, name) for name in OF_NEIGHBORS} for one in self.neighbors],
            "version": VERSION,
        }
        return json.loads(json.dumps(values))


def terms_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    alg_name: str,
    hparams: HParams,
    *,
    moments: Moments | None = None,
    templates: Templates | None = None,
    protected: Sequence[Request] = (),
    neighbors: Sequence[Record] = (),
    seed: int = 0,
) -> Terms:
    """The terms of a ledger whose base is this model, as it is now."""
    return Terms(
        weights=weights_hash(model),
        tokenizer=tokenizer_hash(tokenizer),
        alg_name=alg_name,
        hparams=hparams,
        statistics=moments_hash(moments) if moments is not None else None,
        templates=templates,
        protected=tuple(protected),
        neighbors=tuple(Record(**{name: getattr(one, name) for name in OF_NEIGHBORS}) for one in neighbors),
        seed=seed,
    )


def moments_hash(moments: Moments) -> str:
    """What identifies second moments: module names and their values' bits."""
    digest = hashlib.sha256()
    for name in sorted(moments):
        digest.update(f"{name} {moments[name].dtype} {checksums(moments[name])}".encode())
    return digest.hexdigest()


def chosen_by(folder: Path) -> tuple[tuple[Request, ...], tuple[Record, ...]] | None:
    """(protected, neighbors) of the ledger in a folder; None where none was begun there. UserError as `open_ledger`."""
    if not has_records(folder):
        return None
    with open_chain(folder) as chain:
        body = chain.records[0].body
    return (
        tuple(request_in(row) for row in body.get("protected", ())),
        tuple(Record(**row) for row in body.get("neighbors", ())),
    )


def request_in(row: Mapping[str, Any]) -> Request:
    """The request that a record's row holds."""
    values = {key: value for key, value in row.items() if key != "id"}
    return Request(**values | {"frame": Frame(**values["frame"])})


def neighbors_of(requests: Sequence[Request], neighbors: Sequence[Record], seed: int) -> list[Request]:
    """The neighbours' subjects in each of the requests' prompt forms, less those that a request is about: those of the
    form's relation first, which is that of a neighbour with the same prompt; see `existing_subjects`.

    It hangs on these arguments alone, so that the same requests have the same neighbours, whatever came and went.
    """
    relations = {one.prompt: one.relation_id for one in neighbors}
    forgotten = [
        Record(
            case_id=one.case_id,
            prompt=one.prompt,
            subject=one.subject,
            target_true=one.target_true,
            relation_id=relations.get(one.prompt, ""),
            frame=one.frame,
        )
        for one in requests
    ]
    return existing_subjects(forgotten, (), neighbors, seed)
