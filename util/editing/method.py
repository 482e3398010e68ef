"""The contract of a method: a package defines ``edit(setting, hparams) -> WeightEdits`` and its ``HParams``.

What users call, `apply_to_model`, is made from `edit` here, for all methods alike.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.contexts import Templates
from util.editing.layers import check_layers, check_requests
from util.editing.setting import Moments, Setting
from util.editing.target_cache import TargetCache
from util.hparams import HParams, LayerHParams, TargetHParams
from util.request import NEUTRAL, Request
from util.weights import WeightEdits

Params = TypeVar("Params", bound=HParams)

log = logging.getLogger("zerounlearn")


def public(edit: Callable[[Setting, Params], WeightEdits]) -> Callable[..., WeightEdits]:
    """`apply_to_model` of a method, from its `edit`."""

    def apply_to_model(
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        requests: Sequence[Request],
        hparams: Params,
        *,
        moments: Moments | None = None,
        context_templates: Templates | None = None,
        retain_requests: Sequence[Request] = (),
        neighbors: Sequence[Request] = (),
        previous: WeightEdits | None = None,
        seed: int = 0,
        batch_tokens: int | None = None,
        progress: bool = False,
        target_cache: TargetCache | None = None,
    ) -> WeightEdits:
        """Edit `model` in place so that the requests are forgotten, and return the edits, whose `undo` is bit-exact.

        moments: module name → E[k kᵀ] (d_in, d_in) of the unedited model, for the methods whose HParams.needs_moments.
        context_templates: groups of templates; None generates them from `seed` where the method needs some.
        retain_requests: facts to keep, for methods that train on some (NPO). neighbors: other subjects in the requests'
        own prompt forms, for methods that leave such alone (ZeroUnlearn_Local); their answers are not read, and need
        not be known. previous: in a sequential run, the edits of the steps before (AlphaEdit protects their keys).
        seed: draws templates and orders. batch_tokens: padded tokens of one batch; None takes what the machine takes
        with ease. progress: show bars. target_cache: where targets are kept for other methods and runs; None keeps
        none.
        Options that a method does not need are accepted and left alone. Raises UserError on bad input, and leaves every
        weight as it was whenever it raises.
        """
        setting = Setting(
            model=model,
            tokenizer=tokenizer,
            requests=requests,
            moments=moments,
            context_templates=context_templates,
            retain_requests=retain_requests,
            neighbors=neighbors,
            previous=previous,
            seed=seed,
            batch_tokens=batch_tokens,
            progress=progress,
            target_cache=target_cache,
        )
        check_requests(requests)
        if isinstance(hparams, LayerHParams):
            check_layers(model, hparams)
        setting = _prepared(setting, hparams)
        edits = edit(setting, hparams)
        if setting.prefixes:
            edits.diagnostics["key_prefixes"] = dict(setting.prefixes)
        return edits

    apply_to_model.__module__ = edit.__module__
    apply_to_model.__doc__ = f"{apply_to_model.__doc__}\n        This method: {edit.__doc__}"
    return apply_to_model


def _prepared(setting: Setting, hparams: HParams) -> Setting:
    """The setting with the texts of its key contexts, for a method that asks for targets."""
    if not isinstance(hparams, TargetHParams):
        return setting
    if hparams.target == "ignorance" and any(request.target_new != NEUTRAL for request in setting.requests):
        log.warning('target is "ignorance", which leads to no answer: what was to be said instead is not read')
    return setting.prepared(hparams.key_contexts)
