"""What decides a run's numbers, as one key: for Base scores, for finished runs, and for what may be averaged."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.running.arguments import Decides, flag_of
from experiments.running.settings import RunSettings
from experiments.running.versions import METHOD, scoring_versions
from util.hparams import HParams

OF_STATISTICS = ("corpus", "imported")
"""Hashes that decide the edit and not Base."""


@dataclass(frozen=True)
class Identity:
    """Two runs of one identity have the same numbers, up to rounding on another device.

    settings: with ``--ratio`` resolved to a number of facts. hashes: of model, tokenizer, data, the perplexity's text
    and the downstream tasks, which decide Base, and OF_STATISTICS: their ``corpus``, None where the method has none,
    and the published files ``imported`` in its place.
    """

    settings: RunSettings
    hparams: HParams
    hashes: Mapping[str, object]

    def run(self) -> dict[str, object]:
        """Everything that decides the run; ready for JSON."""
        return {
            "settings": self._deciding("base", "run"),
            "hparams": self.hparams.model_dump(mode="json"),
            "hashes": dict(self.hashes),
            "code": scoring_versions() | {"method": METHOD},
        }

    def base(self) -> dict[str, object]:
        """The part that decides the scores before the edit."""
        return {
            "settings": self._deciding("base"),
            "hashes": {name: value for name, value in self.hashes.items() if name not in OF_STATISTICS},
            "code": scoring_versions(),
        }

    def record(self) -> dict[str, object]:
        """For run.json: the keys that others compare, and what they are made of.

        Runs of one ``row`` differ in the seed alone and may be averaged; those of one ``block`` have the same Base but
        for the seed and may stand in one table.
        """
        return {
            "run": key(self.run()),
            "row": key(_without_seed(self.run())),
            "base": key(self.base()),
            "block": key(_without_seed(self.base())),
            "decided_by": self.run(),
        }

    def _deciding(self, *what: Decides) -> dict[str, object]:
        values = self.settings.model_dump(mode="json")
        fields = RunSettings.model_fields.items()
        return {name: values[name] for name, field in fields if flag_of(field).decides in what}


def key(content: object) -> str:
    """sha256 of a value's canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_seed(content: Mapping[str, object]) -> dict[str, object]:
    settings = content["settings"]
    assert isinstance(settings, dict)
    return dict(content) | {"settings": {name: value for name, value in settings.items() if name != "seed"}}
