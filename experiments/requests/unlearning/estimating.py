"""``--dry_run``: what is known, and what unlearning would take and damage; nothing is edited or written."""

import time
from collections.abc import Sequence
from itertools import islice

import torch

from experiments.reporting.table import aligned
from experiments.requests.unlearning.key_overlap import key_overlap
from experiments.requests.unlearning.opened import kept
from experiments.requests.unlearning.unlearning_job import Job
from util.editing.contexts import generate
from util.editing.keys import ModuleSite, plain
from util.editing.statistics import CorpusMoments
from util.editing.targets import find_targets
from util.forward import final_hidden
from util.hooks import frozen
from util.hparams import LayerHParams, MomentHParams, TargetHParams
from util.linalg import spd_factor
from util.request import Request
from util.tokens import encode, pad
from util.weights import read_weight

TRIED_FACTS, TRIED_STEPS, TRIED_DOCUMENTS = 4, 2, 16
"""What is timed, of the facts, of the target search's steps, and of the corpus."""
CLOSE = 0.5
"""An overlap from which on a fact is counted as in danger."""


def estimate(job: Job) -> str:
    """Lines for a person: a row a request, then time, memory and damage."""
    moments = job.opened.moments()
    there = moments is not None and kept(moments)
    lines = [_known(job)]
    if job.places:
        lines += [*_time(job, moments, there), _memory(job), *_damage(job, moments if there else None)]
    return "\n".join([*lines, "nothing was edited or written"])


def _known(job: Job) -> str:
    rows = [["request", "subject", "facts", "known", "says"]]
    for place, one in enumerate(job.wanted):
        facts = [fact for fact in job.facts if place in fact.asked_by]
        said = facts[0].before[0].text if facts else ""
        known = sum(fact.known for fact in facts)
        rows.append([str(one.id), one.subject[:30], str(len(facts)), str(known), " ".join(said.split())[:40]])
    return f"{aligned(rows)}\n{len(job.places)} fact(s) would be unlearned"


def _time(job: Job, moments: CorpusMoments | None, there: bool) -> list[str]:
    found = []
    if moments is not None:
        needed = 0.0 if there else _statistics_seconds(job, moments)
        found.append(f"statistics: {'kept on disk' if there else f'about {_span(needed)}'}")
    hparams = job.opened.settled.hparams
    if isinstance(hparams, TargetHParams):
        most = ", the most if no search ends early" if hparams.target == "neutral" else ""
        found.append(f"targets: about {_span(_target_seconds(job, hparams))}{most}")
    else:
        found.append(f"{job.opened.settings.alg_name} trains; how long is not estimated")
    return found


def _statistics_seconds(job: Job, moments: CorpusMoments) -> float:
    """Of the whole corpus, from the forward pass of its first documents."""
    opened, documents = job.opened, moments.corpus.documents
    rows = [
        encode(opened.tokenizer, text)[: moments.cache.longest_document] for text in islice(documents, TRIED_DOCUMENTS)
    ]
    start = time.perf_counter()
    with torch.no_grad(), frozen(opened.model):
        for row in filter(None, rows):
            final_hidden(opened.model, pad([row], device=opened.model.device))
    return (time.perf_counter() - start) * len(documents) / max(1, len(rows))


def _target_seconds(job: Job, hparams: TargetHParams) -> float:
    """Of all facts, from a few, in the way of hparams.target; of a search from its first steps, too."""
    opened, requests = job.opened, _requests(job)
    tried = requests[:TRIED_FACTS]
    steps = {"v_num_grad_steps": TRIED_STEPS} if hparams.target == "neutral" else {}
    templates = generate(opened.model, opened.tokenizer, opened.settings.seed)
    start = time.perf_counter()
    find_targets(
        opened.model,
        opened.tokenizer,
        tried,
        [request.target_new for request in tried],
        hparams.layers[-1],
        "layer",
        hparams.model_copy(update=steps),
        templates,
        batch_tokens=opened.writing_tokens,
        target=hparams.target,
        seed=opened.settings.seed,
    )
    longer = hparams.v_num_grad_steps / TRIED_STEPS if steps else 1
    return (time.perf_counter() - start) * longer * _sought(requests, hparams) / _sought(tried, hparams)


def _sought(requests: Sequence[Request], hparams: TargetHParams) -> int:
    """How many targets differ: strangers' states, for ignorance, are those of a prompt form."""
    return len({one.template for one in requests}) if hparams.target == "ignorance" else len(requests)


def _requests(job: Job) -> list[Request]:
    return [fact.record.request(job.opened.settings.neutral_target) for fact in job.chosen]


def _memory(job: Job) -> str:
    """The weights, a copy of them for the attacks, and C with its factor for every edited module."""
    model, hparams = job.opened.model, job.opened.settled.hparams
    weights = sum(one.numel() * one.element_size() for one in model.parameters())
    copies = weights * (1 if job.opened.settings.attacks == "none" else 2)
    sizes = (
        [read_weight(model, name).shape[1] for name in _modules(hparams)] if isinstance(hparams, MomentHParams) else []
    )
    return (
        f"memory: about {(copies + sum(3 * 8 * size * size for size in sizes)) / 1e9:.2f} GB, less what a batch takes"
    )


def _modules(hparams: object) -> list[str]:
    return hparams.rewrite_modules() if isinstance(hparams, LayerHParams) else []


def _damage(job: Job, moments: CorpusMoments | None) -> list[str]:
    """Overlap of the forgotten facts' keys with those of known facts that are to stay, at the last edited layer."""
    opened = job.opened
    names = _modules(opened.settled.hparams)
    others = [record.request() for record in job.watched.known]
    if not names or not others:
        return ["damage: not estimated, no known fact is there to compare with"]
    site = ModuleSite(names[-1], inputs=True)
    K, P = (
        plain(opened.model, opened.tokenizer, requests, site, opened.scoring_tokens)
        for requests in (_requests(job), others)
    )
    factor = spd_factor(moments[names[-1]], "C", ridge=1e-6).to(K.device) if moments is not None else None
    overlap_M = key_overlap(K, P, factor)
    how = "in the statistics' metric" if factor is not None else "plain cosine, for there are no statistics yet"
    return [
        f"damage: key overlap with {len(others)} known facts that are to stay ({how}): median "
        f"{overlap_M.median():.2f}, largest {overlap_M.max():.2f}; {int((overlap_M >= CLOSE).sum())} at {CLOSE} or more"
    ]


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
