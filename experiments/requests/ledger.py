"""A ledger: requests that arrive over time, and at any time the model that has forgotten those that stand.

    with open_ledger(folder, terms) as ledger:
        ledger.add(requests)                                    # or ledger.withdraw(["17"])
        edits = ledger.solve(model, tokenizer, moments=moments)  # model: the base; edited in place

The model is a function of the base and of the requests that stand, not of their history: each `solve` is one joint
solve of all of them from the base, in an order made of their contents. So the keys of all earlier facts and their
targets are in every solve, a request that is withdrawn leaves no trace in the weights, and the order of arrival none
either. What costs most, the search of a fact's targets, is done once for each fact, alone, and kept in the folder.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baselines.registry import method
from experiments.requests.ledger_records import Chain, open_chain
from experiments.requests.ledger_terms import Terms, neighbors_of, request_in
from util.editing.setting import Moments
from util.editing.target_cache import TargetCache
from util.errors import UserError
from util.provenance import package_version
from util.request import Request
from util.weights import WeightEdits, weights_hash
from zerounlearn.unlearning import accepted

log = logging.getLogger("zerounlearn")


@dataclass
class Ledger:
    """Made by `open_ledger`. standing: id → request, of those that were added and not withdrawn."""

    chain: Chain
    terms: Terms
    standing: dict[str, Request]
    withdrawn: set[str]

    @property
    def head(self) -> str:
        """Hash of the last record: what to keep elsewhere, so that an older state of the folder is noticed."""
        return self.chain.head

    def add(self, requests: Sequence[Request]) -> list[str]:
        """Record what is new among the requests, whose `case_id` is their id, in one record; returns the new ids.

        What stands already with the same contents is left alone, so that a command that was killed can be repeated.
        Raises UserError, nothing recorded, as `refuse_changed` does.
        """
        new = self.refuse_changed(requests)
        if new:
            self.chain.append("requests", {"requests": [_contents(one) | {"id": name} for name, one in new.items()]})
            self.standing |= new
            self.withdrawn -= set(new)
        return list(new)

    def refuse_changed(self, requests: Sequence[Request]) -> dict[str, Request]:
        """Those whose id is new, by id. UserError for an id that stands, or comes twice, with other contents."""
        new: dict[str, Request] = {}
        for request in requests:
            name = str(request.case_id)
            known = self.standing.get(name) or new.get(name)
            if known is not None and _contents(known) != _contents(request):
                raise UserError(
                    f"request {name!r} stands in the ledger with another fact; give each request an id of its own"
                )
            if known is None:
                new[name] = request
        return new

    def withdraw(self, ids: Sequence[str]) -> list[str]:
        """Record that requests no longer stand; returns their ids, without those that were withdrawn before.

        Raises UserError, nothing recorded, for an id that was never there.
        """
        unknown = [name for name in ids if name not in self.standing and name not in self.withdrawn]
        if unknown:
            there = ", ".join(sorted(self.standing)[:20]) or "none"
            raise UserError(
                f"no request {unknown[0]!r} in ledger {self.chain.folder} (it has {there}); correct --withdraw"
            )
        leaving = [name for name in dict.fromkeys(ids) if name in self.standing]
        if leaving:
            self.chain.append("withdrawal", {"ids": leaving})
            for name in leaving:
                del self.standing[name]
            self.withdrawn |= set(leaving)
        return leaving

    def ordered(self) -> list[Request]:
        """What stands, each fact once under however many ids, in the order of the solve: contents alone decide it."""
        once: dict[str, Request] = {}
        for name in sorted(self.standing):
            once.setdefault(self._digest(name), self.standing[name])
        return [once[digest] for digest in sorted(once)]

    def protected(self) -> list[Request]:
        """The protected facts of the terms, less those about a subject that something which stands is about."""
        subjects = {request.subject.casefold() for request in self.standing.values()}
        return [fact for fact in self.terms.protected if fact.subject.casefold() not in subjects]

    def neighbors(self) -> list[Request]:
        """Subjects of the terms in the prompt forms of what stands, less those that something of it is about."""
        return neighbors_of(self.ordered(), self.terms.neighbors, self.terms.seed)

    def _digest(self, name: str) -> str:
        return _hash(_contents(self.standing[name]))

    def solve(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        moments: Moments | None = None,
        stored_as: torch.dtype | None = None,
        batch_tokens: int | None = None,
        progress: bool = False,
    ) -> WeightEdits:
        """Edit the base, in place, to the model that has forgotten what stands, and record the model's hash.

        stored_as: the edited weights are rounded to this dtype before that, for a model that will be saved in it.
        Raises UserError, the model as it was and nothing recorded, where it is not the base, where the method fails,
        and where an earlier record of the same requests, made in the same environment, names another model; so
        FloatingPointError where the edit leaves the finite numbers.
        """
        if weights_hash(model) != self.terms.weights:
            raise UserError("the model is not the base of this ledger; load the model that its first record names")
        requests = self.ordered()
        edits = WeightEdits()
        if requests:
            edits = method(self.terms.alg_name).apply_to_model(
                model,
                tokenizer,
                requests,
                self.terms.hparams,
                moments=moments,
                context_templates=self.terms.templates,
                retain_requests=self.protected(),
                neighbors=self.neighbors(),
                seed=self.terms.seed,
                batch_tokens=batch_tokens,
                progress=progress,
                target_cache=TargetCache(self.chain.folder / "targets", one_by_one=True),
            )
        accepted(model, tokenizer, edits, requests, stored_as=stored_as, batch_tokens=batch_tokens)
        with edits.undone_on_failure(model):
            self._note(weights_hash(model), requests, _environment(model) | _rounding(edits, stored_as))
        return edits

    def _note(self, weights: str, requests: Sequence[Request], environment: Mapping[str, Any]) -> None:
        """Record a model, after comparing it with an earlier one of the same requests: with the latest that was made in
        the same environment, or where none was with the latest."""
        named = _hash([self._digest(str(one.case_id)) for one in requests])
        same = [one for one in reversed(self.chain.records) if one.kind == "model" and one.body["requests"] == named]
        alike = [one for one in same if one.body["environment"] == environment]
        last = next(iter(alike or same), None)
        if last and last.body["weights"] != weights:
            if alike:
                raise UserError(
                    f"record {last.number} of ledger {self.chain.folder} names another model for the same requests "
                    "in the same environment; nothing was recorded"
                )
            log.warning(
                "record %d has another model for the same requests, from another environment or another dtype",
                last.number,
            )
        self.chain.append(
            "model", {"requests": named, "count": len(requests), "weights": weights, "environment": environment}
        )


@contextmanager
def open_ledger(folder: Path, terms: Terms, expected_head: str | None = None) -> Iterator[Ledger]:
    """The ledger in a folder for this process alone, begun there with these terms where it is empty.

    Raises UserError where another process has it, where its chain is broken, and where it has other terms.
    """
    with open_chain(folder, expected_head) as chain:
        if not chain.records:
            chain.append("terms", terms.body())
        first = chain.records[0]
        differing = [key for key, value in terms.body().items() if first.body.get(key) != value]
        if first.kind != "terms" or differing:
            raise UserError(
                f"ledger {folder} was begun with another {' and '.join(differing) or 'first record'}; "
                "use the same model and settings, or begin a new ledger"
            )
        ledger = Ledger(chain, terms, {}, set())
        for record in chain.records[1:]:
            _replay(ledger, record.kind, record.body)
        yield ledger


def _replay(ledger: Ledger, kind: str, body: Mapping[str, Any]) -> None:
    if kind == "requests":
        for row in body["requests"]:
            request = request_in(row | {"case_id": row["id"]})
            ledger.standing[str(request.case_id)] = request
            ledger.withdrawn.discard(str(request.case_id))
    elif kind == "withdrawal":
        for name in body["ids"]:
            del ledger.standing[name]
            ledger.withdrawn.add(name)


def _contents(request: Request) -> dict[str, Any]:
    """All of a request but its id."""
    return {key: value for key, value in asdict(request).items() if key != "case_id"}


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _environment(model: PreTrainedModel) -> dict[str, Any]:
    """What moves a solve's bits beside its terms."""
    return {
        "torch": torch.__version__,
        "transformers": package_version("transformers"),
        "device": model.device.type,
        "threads": torch.get_num_threads(),
    }


def _rounding(edits: WeightEdits, stored_as: torch.dtype | None) -> dict[str, str]:
    """The dtype that edited weights of another one were rounded to, as a record names it beside the environment.

    A record without it is of a model that was not rounded, those of versions that rounded only after the record, too.
    """
    rounded = stored_as is not None and any(value.dtype != stored_as for value in edits.original.values())
    return {"stored_as": str(stored_as).removeprefix("torch.")} if rounded else {}
