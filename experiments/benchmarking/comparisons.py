"""Pieces of work done twice, by the machinery and in the plain form (seconds of both, difference of their results), or
in several ways (seconds of each)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets.corpus import Corpus
from experiments.benchmarking.plain import Side, find_target, moment
from util.editing.contexts import Templates
from util.editing.keys import average_keys
from util.editing.statistics import CorpusMoments
from util.editing.targets import find_targets
from util.hparams import Target
from util.modeling import default_batch_tokens
from util.request import Request
from util.weights import read_weight
from zerounlearn import HParams
from zerounlearn.solve import factor_utility, solve, solve_direct

Numbers = dict[str, float]

WITHOUT_SEARCH: tuple[Target, ...] = tuple(kind for kind in get_args(Target) if kind != "neutral")
"""Kinds of targets that take no search."""


@dataclass(frozen=True)
class Bench:
    """What both sides of a comparison share.

    requests: all facts there are, of which `facts` are searched for and solved. corpus: documents of the moments.
    batch_tokens: padded tokens of one batch; None: what each piece of work takes by itself.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    hparams: HParams
    templates: Templates
    requests: Sequence[Request]
    facts: int
    corpus: Corpus
    batch_tokens: int | None = None

    @property
    def layer(self) -> int:
        """The target layer."""
        return self.hparams.layers[-1]

    @property
    def budget(self) -> int:
        """Padded tokens of one batch of prompts."""
        return self.batch_tokens or default_batch_tokens(self.model)

    @property
    def chosen(self) -> Sequence[Request]:
        """The facts asked for."""
        return self.requests[: self.facts]

    def moments(self, names: list[str]) -> CorpusMoments:
        """Of some modules; kept nowhere."""
        budget = self.batch_tokens
        return CorpusMoments(self.model, self.tokenizer, names, self.corpus, progress=False, batch_tokens=budget)

    def targets(self, requests: Sequence[Request], kind: Target = "neutral") -> torch.Tensor:
        """Values (O, N) of the neutral target, searched for in batches or found without a search."""
        answers = [request.target_new for request in requests]
        found = find_targets(
            self.model,
            self.tokenizer,
            requests,
            answers,
            self.layer,
            "layer",
            self.hparams,
            self.templates,
            batch_tokens=self.budget,
            target=kind,
        )
        return found.values_ON

    def plain_target(self, request: Request) -> torch.Tensor:
        """Value (O,) of the plain search for the neutral target."""
        shared = (self.hparams, self.templates)
        return find_target(self.model, self.tokenizer, request, request.target_new, self.layer, "layer", *shared)[0]


def bench_targets(bench: Bench) -> Numbers:
    """Target search of all facts, batched against one by one."""
    bench.targets(bench.chosen[:2])
    found, fast = seconds(lambda: bench.targets(bench.chosen))
    reference, slow = seconds(lambda: [bench.plain_target(request) for request in bench.chosen])
    return report(f"targets of {len(bench.chosen)} facts", fast, slow, relative(found, torch.stack(reference, 1)))


def bench_growth(bench: Bench) -> Numbers:
    """Seconds per fact of the batched search, for the facts asked for and four times as many."""
    few, many = bench.chosen, bench.requests[: 4 * len(bench.chosen)]
    _, few_seconds = seconds(lambda: bench.targets(few))
    _, many_seconds = seconds(lambda: bench.targets(many))
    per_few, per_many = few_seconds / len(few), many_seconds / len(many)
    print(f"seconds per fact: {per_few:.3g} for {len(few)} facts, {per_many:.3g} for {len(many)}", flush=True)
    return {"seconds_per_fact": per_few, "facts": len(many), "seconds_per_fact_of_many": per_many}


def bench_without_search(bench: Bench) -> Numbers:
    """Seconds of each kind of target without a search, as a share of the search's. What they forget is not asked."""
    bench.targets(bench.chosen[:2])
    _, search = seconds(lambda: bench.targets(bench.chosen))
    shares = {}
    for kind in WITHOUT_SEARCH:
        _, cheap = seconds(partial(bench.targets, bench.chosen, kind))
        shares[f"{kind}_share"] = cheap / search
    said = ", ".join(f"{kind} {shares[f'{kind}_share']:.2f} of it" for kind in WITHOUT_SEARCH)
    print(f"targets of {len(bench.chosen)} facts without a search: search {search:.3g} s, {said}", flush=True)
    return {"search_seconds": search, **shares}


def bench_moments(bench: Bench) -> Numbers:
    """Moments of all edited layers: one packed pass against two passes a layer, a document at a time."""
    names, documents = bench.hparams.rewrite_modules(), list(bench.corpus.documents)
    found, fast = seconds(lambda: dict(bench.moments(names)))

    def plain(name: str, of: Side) -> torch.Tensor:
        return moment(bench.model, bench.tokenizer, name, documents, of)

    reference, slow = seconds(lambda: {name: (plain(name, "k"), plain(name, "v"))[0] for name in names})
    difference = max(relative(found[name].double(), reference[name]) for name in names)
    return report(f"moments of {len(names)} layer(s), {len(documents)} documents", fast, slow, difference)


def bench_solve(bench: Bench) -> Numbers:
    """One layer's solve after the statistics: the N × N form, its factor kept, against the direct form."""
    hparams, name = bench.hparams, bench.hparams.rewrite_module(bench.layer)
    C = bench.moments([name])[name]
    W = read_weight(bench.model, name)
    K = average_keys(bench.model, bench.tokenizer, bench.chosen, name, bench.templates, bench.budget)
    R = torch.randn(len(W), K.shape[1], generator=torch.Generator().manual_seed(0)).to(W.device)
    U = torch.randn(len(W), K.shape[1], generator=torch.Generator().manual_seed(1)).to(W.device)
    a, b, ridge = hparams.wiki_KKT_lam, hparams.forget_KKT_lam, hparams.regularization_lam
    epsilon, projector = hparams.epsilon, hparams.projector
    factor = factor_utility(W, C, a, ridge)
    found, fast = seconds(lambda: solve(W, K, R, U, factor, b=b, epsilon=epsilon, projector=projector))
    reference, slow = seconds(
        lambda: solve_direct(W, K, R, U, C, a=a, b=b, ridge=ridge, epsilon=epsilon, projector=projector)
    )
    difference = float((found - reference).norm() / (reference - W).norm())
    return report(f"solve of one layer, {K.shape[1]} facts", fast, slow, difference)


def seconds(work: Callable):
    """(result, seconds), waiting for the GPU where there is one."""
    start = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def report(what: str, fast: float, plain: float, difference: float) -> Numbers:
    """Print and return one comparison."""
    print(
        f"{what}: {fast:.3g} s, plain {plain:.3g} s, {plain / fast:.1f} x faster; relative difference {difference:.1e}",
        flush=True,
    )
    return {"seconds": fast, "plain_seconds": plain, "ratio": plain / fast, "relative_difference": difference}


def relative(found: torch.Tensor, reference: torch.Tensor) -> float:
    """Largest relative difference of a column."""
    return float(((found - reference).norm(dim=0) / reference.norm(dim=0)).max())
