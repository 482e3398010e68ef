"""A loaded model as the harness sees one, and the harness's evaluation of it. Imports lm_eval: see the package."""

import logging
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import lm_eval.api.task
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator import evaluate
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from experiments.downstream.definitions import Loaded
from experiments.measuring.scoring import score_pairs
from util.likelihood import Answered
from util.modeling import max_length
from util.tokens import encode

log = logging.getLogger("zerounlearn")

Text = tuple[str, str]
"""(context, continuation) of a request."""


class InMemory(LM):
    """The model as it is, edits and all, answering by `score_pairs`.

    The tokens of a continuation are what ``context + continuation`` has beyond the tokens of ``context``, white space
    at the context's end counts as the continuation's, and of a text beyond the model's positions the beginning is cut:
    all as in the harness's own HFLM, whose numbers these are. Deviations: a tokenizer's final EOS is left out, and a
    model that names no number of positions has none (HFLM: 2048).
    known: tokens of texts already seen, filled here.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_tokens: int,
        progress: bool = False,
        known: dict[Text, Answered] | None = None,
    ):
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.batch_tokens, self.progress = batch_tokens, progress
        self.known = {} if known is None else known
        self.longest = max_length(model, sys.maxsize)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """(log-likelihood, whether greedy decoding says it) of each request's continuation given its context."""
        texts: list[Text] = [request.args for request in requests]
        self._read(texts)
        found = score_pairs(
            self.model,
            [self.known[text] for text in texts],
            batch_tokens=self.batch_tokens,
            longest=self.longest,
            progress=self.progress,
            desc="downstream",
        )
        scores = [found[self.known[text]] for text in texts]
        return [(math.fsum(one.log_probs), all(one.correct)) for one in scores]

    def _read(self, texts: Sequence[Text]) -> None:
        """Tokens of the texts that are not known yet; says how many are cut."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        prompts: dict[str, tuple[int, ...]] = {}
        for context, continuation in new:
            self.known[context, continuation] = _pair(self.tokenizer, context, continuation, prompts)
        cut = {context for context, text in new if sum(map(len, self.known[context, text])) - 1 > self.longest}
        if cut:
            log.warning(
                "downstream: %d of %d prompts are longer than the model's %d tokens and lose their beginning",
                len(cut),
                len({context for context, _ in new}),
                self.longest,
            )

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Not for these tasks."""
        raise NotImplementedError(
            "only choices are scored here; perplexity is measured by experiments/measuring/perplexity.py"
        )

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Not for these tasks."""
        raise NotImplementedError("only choices are scored here; no downstream task of this repository generates text")


def _pair(tokenizer: PreTrainedTokenizerBase, context: str, continuation: str, prompts: dict) -> Answered:
    prompt = context.rstrip()
    if not prompt:
        raise ValueError(f"continuation {continuation!r} has no context; these tasks all ask something")
    ids = prompts.get(prompt) or prompts.setdefault(prompt, tuple(encode(tokenizer, prompt)))
    answer = tuple(encode(tokenizer, context + continuation)[len(ids) :])
    if not answer:
        raise ValueError(f"continuation {continuation!r} adds no token to {context[-40:]!r}")
    return Answered(ids, answer)


def run_harness(lm: LM, loaded: Loaded, limit: int | None = None) -> dict:
    """What the harness's `evaluate` returns: results, versions, samples, sizes. No few-shot examples, no cache.

    limit: rows of each definition, the first ones.
    """
    tasks = {"tasks": loaded.tasks, "groups": loaded.groups}
    with _without_bars():
        return evaluate(lm, tasks, limit=limit, bootstrap_iters=0, log_samples=True)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without the harness's bar per definition: with MMLU there are 57 of them, for a second each."""
    bar = lm_eval.api.task.tqdm
    lm_eval.api.task.tqdm = partial(bar, disable=True)
    try:
        yield
    finally:
        lm_eval.api.task.tqdm = bar
