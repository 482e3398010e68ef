"""Facts in, edited model and its answers before and after out: the way in for whoever writes Python.

Unlike a method, which is given all it needs, it finds hparams, corpus and statistics by name; so it may look at the
registry of methods and at the corpora.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baselines.registry import BEST
from baselines.registry import method as package_of
from util import paths
from util.choices import WORLD
from util.editing.setting import Moments
from util.editing.statistics import CorpusMoments
from util.editing.target_cache import TargetCache
from util.hparams import HParams, MomentHParams
from util.modeling import default_reading_tokens
from util.request import Request
from util.standing import Standing, standings
from util.weights import WeightEdits


@dataclass(frozen=True)
class Answer:
    """One request, and where its true answer stands after its prompt before and after the edit."""

    request: Request
    before: Standing
    after: Standing

    @property
    def known(self) -> bool:
        """Whether the model said the answer before."""
        return self.before.said

    @property
    def still_said(self) -> bool:
        """Whether it says it now."""
        return self.after.said


@dataclass(frozen=True)
class Unlearned:
    """What was done: the edits, whose ``undo(model)`` is bit-exact, one Answer a request in the given order, the
    method's name and its hparams."""

    edits: WeightEdits
    answers: tuple[Answer, ...]
    method: str
    hparams: HParams

    @property
    def still_said(self) -> tuple[Answer, ...]:
        """Those whose answer is still said: empty where the edit did what it was asked to."""
        return tuple(answer for answer in self.answers if answer.still_said)


def unlearn(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    *,
    method: str = BEST,
    hparams: HParams | None = None,
    moments: Moments | None = None,
    retain_requests: Sequence[Request] = (),
    neighbors: Sequence[Request] = (),
    stored_as: torch.dtype | None = None,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: bool = False,
    target_cache: TargetCache | None = None,
) -> Unlearned:
    """Edit `model` in place so that it no longer says the requests' true answers, and ask it before and after.

    method: a name of `baselines.registry.METHODS`. hparams: its settings; None reads hparams/<method>/<model>.json,
    where the model is called as its folder. moments: see `apply_to_model`; None reads or measures those of the hparams'
    corpus, and keeps them among the statistics. stored_as: the edited weights are rounded to this dtype, for a model
    that will be saved in it. The other arguments are those of `apply_to_model`.
    Raises UserError on bad input and FloatingPointError where the edit leaves the finite numbers; every weight is then
    as it was.
    """
    package = package_of(method)
    hparams = own_hparams(model, method) if hparams is None else hparams
    if moments is None and isinstance(hparams, MomentHParams):
        moments = _moments(model, tokenizer, hparams, progress)
    before = _asked(model, tokenizer, requests, batch_tokens)
    edits: WeightEdits = package.apply_to_model(
        model,
        tokenizer,
        requests,
        hparams,
        moments=moments,
        retain_requests=retain_requests,
        neighbors=neighbors,
        seed=seed,
        batch_tokens=batch_tokens,
        progress=progress,
        target_cache=target_cache,
    )
    after = accepted(model, tokenizer, edits, requests, stored_as=stored_as, batch_tokens=batch_tokens)
    answers = tuple(Answer(*three) for three in zip(requests, before, after, strict=True))
    return Unlearned(edits, answers, method, hparams)


def accepted(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    edits: WeightEdits,
    requests: Sequence[Request],
    *,
    stored_as: torch.dtype | None,
    batch_tokens: int | None,
) -> list[Standing]:
    """Round an edited model to the dtype that it is stored in, and ask it what it was made to forget, in that order.

    Raises FloatingPointError where a weight or an answer is not finite; every weight is then as before the edit.
    """
    with edits.undone_on_failure(model):
        round_to(model, edits, stored_as)
        after = _asked(model, tokenizer, requests, batch_tokens)
        if not all(one.finite for one in after):
            raise FloatingPointError("the edited model's numbers are not finite; its weights were put back")
    return after


def _asked(model, tokenizer, requests: Sequence[Request], batch_tokens: int | None) -> list[Standing]:
    """Where each request's true answer stands now."""
    asked = [(request.text, request.target_true, request.answer_prefix) for request in requests]
    found = standings(model, tokenizer, asked, batch_tokens=batch_tokens or default_reading_tokens(model))
    return [found[question] for question in asked]


def model_key(model: PreTrainedModel) -> str:
    """What hparams files call the model: the name of its folder, or the embedded model's."""
    source = Path(model.name_or_path)
    return WORLD if source == paths.model_dir(WORLD) else source.name


def own_hparams(model: PreTrainedModel, method: str) -> HParams:
    """The method's hparams for this model. UserError, naming those that exist, where there is no file."""
    cls = package_of(method).HParams
    return cls.from_json(paths.hparams_dir() / method / f"{model_key(model)}.json") if cls.model_fields else cls()


def _moments(model, tokenizer, hparams: MomentHParams, progress: bool) -> CorpusMoments:
    from dsets.corpus import load_corpus  # the data sets are not read by who only wants a method

    corpus = load_corpus(hparams.mom2_dataset, hparams.mom2_n_samples)
    return CorpusMoments(
        model,
        tokenizer,
        hparams.rewrite_modules(),
        corpus,
        dtype=hparams.mom2_dtype,
        cache_dir=paths.stats_dir(),
        progress=progress,
    )


def round_to(model: PreTrainedModel, edits: WeightEdits, dtype: torch.dtype | None) -> None:
    """Round the edited weights to a dtype, so that a model stored in it is the one in memory. None leaves them.

    Raises FloatingPointError for a value beyond what the dtype holds.
    """
    for name in edits.original if dtype else ():
        weight = model.get_parameter(name).detach()
        rounded = weight.to(dtype).to(weight.dtype)
        if not torch.isfinite(rounded).all():
            kind = str(dtype).removeprefix("torch.")
            raise FloatingPointError(f"{name}, stored as {kind}, is not finite; the weights were put back")
        weight.copy_(rounded)
