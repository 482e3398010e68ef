"""What every method is given: the model, what it is to forget, and what was made for that beforehand."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from util.editing.contexts import Templates, check, fitting, generate, with_room
from util.editing.key_contexts import Prefixes, in_context, prefixes
from util.editing.keys import ModuleSite, average_keys, plain
from util.editing.target_cache import TargetCache
from util.editing.targets import Site, Targets, find_targets, joined, module_at
from util.hparams import KeyContext, Target, TargetHParams
from util.linalg import spd_factor
from util.modeling import default_batch_tokens, module
from util.request import Request
from util.weights import WeightEdits

Moments = Mapping[str, torch.Tensor]
"""Module name → E[k kᵀ] (I, I), uncentred, of the unedited model."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One order to forget, as a method's `edit` sees it. The fields are the arguments of `apply_to_model`, which
    says what each is, and `prefixes`, which `prepared` adds.

    Shape letters: O out (hidden size), I in (intermediate size), N facts.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    requests: Sequence[Request]
    moments: Moments | None = None
    context_templates: Templates | None = None
    retain_requests: Sequence[Request] = ()
    neighbors: Sequence[Request] = ()
    previous: WeightEdits | None = None
    seed: int = 0
    batch_tokens: int | None = None
    progress: bool = False
    target_cache: TargetCache | None = None
    prefixes: Prefixes = field(default_factory=dict)

    def prepared(self, contexts: Sequence[KeyContext]) -> "Setting":
        """The same with the texts of these contexts for keys, made of the model as it is now."""
        given = (self.model, self.tokenizer, contexts, self.requests, self.retain_requests, self.seed)
        return replace(self, prefixes=prefixes(*given)) if contexts else self

    @cached_property
    def offered_templates(self) -> Templates:
        """The context templates, generated from the seed where none were given (methods without targets need none)."""
        given = self.context_templates
        return check(generate(self.model, self.tokenizer, self.seed) if given is None else given)

    @cached_property
    def templates(self) -> Templates:
        """Those of them that leave the longest of these facts room among the model's positions; a warning tells of the
        others.
        """
        return fitting(self.model, self.tokenizer, self.offered_templates, self.requests)

    @property
    def budget(self) -> int:
        """Padded tokens of one batch."""
        return self.batch_tokens or default_batch_tokens(self.model)

    @property
    def neutral_answers(self) -> list[str]:
        """What the requests' answers are remapped to."""
        return [request.target_new for request in self.requests]

    @property
    def true_answers(self) -> list[str]:
        """What is to be forgotten."""
        return [request.target_true for request in self.requests]

    def targets(
        self,
        hparams: TargetHParams,
        answers: Sequence[str],
        layer: int,
        site: Site,
        *,
        target: Target | None = None,
        final_logits: bool = False,
    ) -> Targets:
        """`find_targets` for these requests, or what it gave when the same was asked before, by any method; either way
        on the device of the module whose output they replace.

        target: how, by default as the hparams say.
        """
        how = target or hparams.target, final_logits
        fingerprints = self.target_cache.fingerprints(self.model, self.tokenizer) if self.target_cache else {}
        if not (self.target_cache and self.target_cache.one_by_one):
            return self._targets(fingerprints, hparams, answers, layer, site, *how)
        alone = [replace(self, requests=[one], context_templates=self.offered_templates) for one in self.requests]
        return joined(
            [
                one._targets(fingerprints, hparams, [answer], layer, site, *how)
                for one, answer in zip(alone, answers, strict=True)
            ]
        )

    def _targets(
        self,
        fingerprints: dict[str, str],
        hparams: TargetHParams,
        answers: Sequence[str],
        layer: int,
        site: Site,
        target: Target,
        final_logits: bool,
    ) -> Targets:
        asked = (self.model, self.tokenizer, self.requests, answers, layer, site, hparams, self.templates)
        key = (
            self.target_cache.key(*asked, target, self.seed, final_logits, fingerprints) if self.target_cache else None
        )
        home = next(module(self.model, module_at(hparams, layer, site)).parameters()).device
        known = self.target_cache.read(key, home) if self.target_cache and key else None
        if known:
            return known
        start = time.perf_counter()
        found = find_targets(
            *asked,
            batch_tokens=self.budget,
            target=target,
            seed=self.seed,
            final_logits=final_logits,
            progress=self.progress,
        )
        if self.target_cache and key:
            self.target_cache.write(key, found, time.perf_counter() - start)
        return found

    def keys(self, module_name: str, contexts: Sequence[KeyContext] = ()) -> torch.Tensor:
        """K_IN at that module, averaged within each group of the context templates and each further context, then
        over all of these, which the setting must be `prepared` for."""
        told = [(self.requests, self.templates)]
        for context in contexts:
            told.append(in_context(self.model, self.tokenizer, context, self.requests, self.prefixes))
        sums = [
            len(groups) * average_keys(self.model, self.tokenizer, requests, module_name, groups, self.budget)
            for requests, groups in told
        ]
        return sum(sums[1:], sums[0]) / sum(len(groups) for _, groups in told)

    def with_room(self, requests: Sequence[Request]) -> list[Request]:
        """Those of other requests that have room among the model's positions."""
        return with_room(self.model, self.tokenizer, requests)

    def at_subject(self, site: ModuleSite) -> torch.Tensor:
        """Activations in the plain prompts, one column per request."""
        return plain(self.model, self.tokenizer, self.requests, site, self.budget)

    def moment_factor(self, module_name: str, C_II: torch.Tensor, ridge: float) -> torch.Tensor:
        """Cholesky factor (I, I) float64 of the module's second moment + mom2_ridge · its mean diagonal entry · I."""
        what = f"the second moment of {module_name}"
        remedy = "give mom2_ridge in the hparams, such as 1e-6, or measure the moment on more documents"
        return self.kept(("factor", module_name, ridge), lambda: spd_factor(C_II, what, ridge=ridge, remedy=remedy))

    def kept(self, key: tuple, build: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Something computed from the moments, out of their memory where they have one (CorpusMoments), else built.

        The key must hold everything `build` depends on beside the moments and their model.
        """
        derived = getattr(self.moments, "derived", None)
        return derived(key, build) if derived else build()
