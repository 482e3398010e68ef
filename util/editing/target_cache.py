"""Targets on disk: methods that search the same targets of the same model share them, and a sweep searches once.

A file is named by a hash of everything that determines the search, so that nothing else is ever taken for it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import transformers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.contexts import Templates
from util.editing.targets import Site, Targets
from util.hparams import Target, TargetHParams
from util.request import Request
from util.tensor_files import read_tensors, write_tensors
from util.tokens import tokenizer_hash
from util.weights import model_hash

CODE_VERSION = 2
"""Raise when the same inputs would give other targets."""

IGNORANCE = ("invented_subjects", "target_scale")
"""Hparams that are read for the target ``ignorance`` alone."""

DECIDING = tuple(name for name in TargetHParams.model_fields if name not in ("layers", "target", "key_contexts"))
"""Hparams that decide beside the layer and the kind of target, which are told."""


def _asked(request: Request, answer: str) -> list[object]:
    return [request.prompt, request.subject, answer, request.answer_prefix, asdict(request.frame)]


@dataclass
class TargetCache:
    """Targets kept in `folder`. saved: seconds of searching that reading has spared whoever holds this object.

    one_by_one: each fact is searched and kept by itself, so that its targets are the same bits whatever other facts are
    forgotten with it (a batch moves them by float noise), and a further fact costs its own search only.
    """

    folder: Path
    saved: float = 0.0
    one_by_one: bool = False

    def key(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        requests: Sequence[Request],
        answers: Sequence[str],
        layer: int,
        site: Site,
        hparams: TargetHParams,
        templates: Templates,
        target: Target,
        seed: int,
        final_logits: bool,
        fingerprints: dict[str, str] | None = None,
    ) -> dict[str, object]:
        """What determines the targets: the model as it is now, the facts in their order, and how they are searched.

        The budget of a batch is no part of it: it moves the results by float noise only. Nor is what another way to a
        target reads: a search has no invented subjects. fingerprints: of model and tokenizer, where they are known.
        """
        own = {"seed": seed} if target == "ignorance" else {}
        left_out = () if target == "ignorance" else IGNORANCE
        return own | {
            "code_version": CODE_VERSION,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "device": model.device.type,
            **(fingerprints or self.fingerprints(model, tokenizer)),
            "facts": [_asked(one, answer) for one, answer in zip(requests, answers, strict=True)],
            "layer": layer,
            "site": site,
            "hparams": {name: getattr(hparams, name) for name in DECIDING if name not in left_out},
            "target": target,
            "templates": templates,
            "final_logits": final_logits,
        }

    @staticmethod
    def fingerprints(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
        """Of the model as it is now, and of its tokenizer."""
        return {"model": model_hash(model), "tokenizer": tokenizer_hash(tokenizer)}

    def read(self, key: dict[str, object], device: torch.device) -> Targets | None:
        """The targets, on the device, if they were searched before."""
        found = read_tensors(self._path(key), key, device)
        if found is None:
            return None
        tensors, header = found
        self.saved += header["seconds"]
        return Targets(**tensors)

    def write(self, key: dict[str, object], targets: Targets, seconds: float) -> None:
        """Keep them, and how long the search took."""
        write_tensors(self._path(key), vars(targets), {"key": key, "seconds": seconds})

    def _path(self, key: dict[str, object]) -> Path:
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
        return self.folder / f"targets-{name}.safetensors"
