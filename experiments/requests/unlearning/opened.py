"""A loaded model with what its requests come to: the facts, what it says of them now, and what is to stay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import dsets
from dsets import Record
from experiments.measuring.sampled_corpus import sampled
from experiments.requests.asking.about_subject import Asker
from experiments.requests.asking.wanted import Wanted
from experiments.requests.evidence.asked_again import Heard, Wording, chat_form, hear, wordings
from experiments.requests.evidence.watching import Watched, choose_watched
from experiments.requests.ledger_terms import Terms
from experiments.requests.unlearning.model_folder import stored_dtype
from experiments.requests.unlearning.settled_hparams import Settled, from_file, suggested, with_corpus
from experiments.requests.unlearning.unlearn_settings import UnlearnSettings
from util import modeling, paths
from util.editing.layers import check_layers
from util.editing.statistics import CorpusMoments
from util.hparams import LayerHParams, MomentHParams
from util.runs import Stopwatch
from util.weights import weights_hash


@dataclass(frozen=True)
class Fact:
    """asked_by: place of each request that it is part of → its id there. before: what is said after each wording of the
    unedited model."""

    asked_by: Mapping[int, int | str]
    record: Record
    wordings: tuple[Wording, ...]
    before: tuple[Heard, ...]

    @property
    def known(self) -> bool:
        """Whether the model says the answer after the prompt."""
        return self.before[0].standing.said


@dataclass(frozen=True)
class Opened:
    """An unedited model, its fingerprint, its dtype on disk, how it will be edited, and the data set for the rest."""

    settings: UnlearnSettings
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: str
    weights: str
    stored: torch.dtype
    settled: Settled
    facts: tuple[Record, ...]
    watch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def scoring_tokens(self) -> int:
        """Padded tokens of a batch that is only scored."""
        return self.settings.batch_tokens or modeling.default_reading_tokens(self.model)

    @property
    def writing_tokens(self) -> int:
        """Padded tokens of a batch that is generated."""
        return self.settings.batch_tokens or modeling.default_batch_tokens(self.model)

    def moments(self) -> CorpusMoments | None:
        """Statistics of the method's corpus, read where they are kept and measured where they are looked up."""
        return moments_of(self.settings, self.settled, self.model, self.tokenizer)

    def hear(self, asked: Sequence[Sequence[Wording]]) -> list[list[Heard]]:
        """What the model as it is now answers."""
        return hear(
            self.model,
            self.tokenizer,
            asked,
            batch_tokens=self.writing_tokens,
            progress=self.settings.progress,
        )


def moments_of(
    settings: UnlearnSettings, settled: Settled, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> CorpusMoments | None:
    """`Opened.moments` before there is an Opened. None for a method without statistics."""
    hparams, corpus = settled.hparams, settled.corpus
    if not isinstance(hparams, MomentHParams) or corpus is None:
        return None
    return CorpusMoments(
        model,
        tokenizer,
        hparams.rewrite_modules(),
        sampled(corpus, model, tokenizer, progress=settings.progress),
        dtype=hparams.mom2_dtype,
        cache_dir=paths.stats_dir(),
        batch_tokens=settings.batch_tokens,
        progress=settings.progress,
        tolerance=settings.mom2_tolerance,
    )


def kept(moments: CorpusMoments) -> bool:
    """Whether all of it is on disk, so that nothing has to be measured."""
    return all(moments.cache.header(name) is not None for name in moments)


@dataclass(frozen=True)
class Read:
    """What is read before the model: the way the method is set, where a file says it, and the data set."""

    source: str
    settled: Settled | None
    facts: tuple[Record, ...]


def read(settings: UnlearnSettings) -> Read:
    """Raises UserError for a device, method, hparams, data set, corpus or model that cannot be had."""
    modeling.resolve_device(settings.device)
    source = modeling.find_source(settings.model_name, settings.model_path_dir)
    settled = from_file(settings)
    dataset = dsets.load(settings.watched, settings.data_dir, world=settings.world)
    return Read(source, settled, tuple(dataset.records))


def open_model(settings: UnlearnSettings, found: Read) -> Opened:
    """Load the model; settle the hparams from it where no file did. Raises UserError where they do not fit."""
    watch = Stopwatch(told=not settings.quiet and not settings.progress)
    with watch.stage("load"):
        model, tokenizer = modeling.load(settings.model_name, settings.model_path_dir, settings.device, settings.dtype)
        weights = weights_hash(model)
    settled = found.settled or suggested(settings, model, tokenizer, found.facts)
    asked = moments_of(settings, settled, model, tokenizer)
    settled = with_corpus(settings, settled, lambda: asked is not None and kept(asked))
    if isinstance(settled.hparams, LayerHParams):
        check_layers(model, settled.hparams)
    dtype = stored_dtype(found.source, model)
    return Opened(settings, model, tokenizer, found.source, weights, dtype, settled, found.facts, watch)


def look_up(opened: Opened, wanted: Sequence[Wanted]) -> list[Fact]:
    """The facts of the requests, each once whoever asks for it, and what the model says of them."""
    settings = opened.settings
    asker = Asker(
        model=opened.model,
        tokenizer=opened.tokenizer,
        facts=opened.facts,
        world=settings.world,
        batch_tokens=opened.writing_tokens,
        progress=settings.progress,
    )
    with opened.watch.stage("asking"):
        found: dict[tuple, tuple[dict[int, int | str], Record]] = {}
        for place, records in asker.facts_wanted(wanted).items():
            for record in records:
                asked_by, _ = found.setdefault(record.fact, ({}, record))
                asked_by.setdefault(place, record.case_id)
        chat = chat_form(opened.tokenizer)
        asked = [wordings(record, chat) for _, record in found.values()]
        heard = opened.hear(asked)
    return [
        Fact(asked_by, record, tuple(texts), tuple(before))
        for (asked_by, record), texts, before in zip(found.values(), asked, heard, strict=True)
    ]


def watch_over(opened: Opened, forgotten: Sequence[Fact], terms: Terms | None = None) -> Watched:
    """Known facts that are to stay; see `choose_watched`. terms: of the ledger, which has chosen what methods read."""
    with opened.watch.stage("asking"):
        return choose_watched(
            opened.model,
            opened.tokenizer,
            opened.facts,
            [fact.record for fact in forgotten],
            seed=opened.settings.seed,
            batch_tokens=opened.scoring_tokens,
            progress=opened.settings.progress,
            protected=terms.protected if terms else None,
            left_alone=[one.subject for one in terms.neighbors] if terms else (),
        )
