"""A loaded model and what was made of it once, for all runs of a process."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import dsets
from dsets.corpus import Corpus
from dsets.record import in_frame
from dsets.splits import part_of
from experiments.downstream.scores import Downstream, open_downstream
from experiments.measuring.perplexity import wikitext2
from experiments.measuring.sampled_corpus import sampled
from experiments.running.knowing import Knower
from experiments.running.once import Made, Once
from experiments.running.reading import at_hand, read_corpus, read_dataset, read_hparams
from experiments.running.settings import CommonSettings
from util import modeling, paths
from util.chat import chat_frame
from util.editing.contexts import Templates, generate
from util.editing.layers import check_layers
from util.editing.moment_cache import MomentCache
from util.editing.statistics import LONGEST_DOCUMENT, CorpusMoments
from util.errors import UserError
from util.hparams import HParams, LayerHParams, MomentHParams
from util.request import Frame
from util.runs import Stopwatch, check_writable
from util.tokens import tokenizer_hash
from util.weights import model_hash


@dataclass
class Session:
    """One model, unedited between runs, what was read for it, and what was made of it.

    settings: what all its runs share. model_hash, tokenizer_hash: fingerprints. batch_tokens: of a batch with gradients
    or generation, scoring_tokens: of one that is only scored. frame: what ``--chat_template`` puts around every prompt.
    """

    settings: CommonSettings
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    seconds_load: float
    model_hash: str
    tokenizer_hash: str
    read: dict[str, dsets.Dataset]
    corpora: dict[tuple[str, int], Corpus]
    downstream: Downstream | None
    frame: Frame = Frame()
    datasets: Once[str, dsets.Dataset] = field(default_factory=Once)
    templates_made: Once[int, Templates] = field(default_factory=Once)
    moments_made: Once[tuple[str, int, str, tuple[str, ...]], CorpusMoments] = field(default_factory=Once)

    @property
    def batch_tokens(self) -> int:
        return self.settings.batch_tokens or modeling.default_batch_tokens(self.model)

    @property
    def scoring_tokens(self) -> int:
        return self.settings.batch_tokens or modeling.default_reading_tokens(self.model)

    @property
    def knower(self) -> Knower:
        told = not self.settings.quiet and not self.settings.progress
        prints = self.model_hash, self.tokenizer_hash
        return Knower(self.model, self.tokenizer, *prints, self.scoring_tokens, self.frame, told)

    def dataset(self, ds_name: str) -> dsets.Dataset:
        """The data set of that name or path, less what ``--known``, ``--max_per_relation`` and ``--part`` leave out."""
        return self.datasets.get(ds_name, lambda: self._dataset(ds_name)).value

    def _dataset(self, ds_name: str) -> dsets.Dataset:
        dataset = self.read.get(ds_name) or _framed(read_dataset(self.settings, ds_name), self.frame)
        settings = self.settings
        chosen = self.knower.chosen(
            dataset, settings.known, settings.max_per_relation, settings.data_dir, progress=settings.progress
        )
        spare = part_of(chosen.spare, settings.part)
        return replace(chosen, records=part_of(chosen.records, settings.part), spare=tuple(spare))

    def corpus(self, hparams: HParams) -> Corpus | None:
        """The statistics corpus of hparams that name one."""
        if not isinstance(hparams, MomentHParams):
            return None
        key = corpus_key(hparams)
        if key not in self.corpora:
            self.take_corpus(read_corpus(hparams, self.settings.data_dir), [hparams])
        return self.corpora[key]

    def take_corpus(self, corpus: Corpus, hparams: Sequence[MomentHParams]) -> None:
        """Take it for what these hparams, which name the same one, are to be measured on: as the model samples it, or
        what stands for it where it cannot be had."""

        def measured() -> bool:
            return all(self._cache(one, corpus).header(name) for one in hparams for name in one.rewrite_modules())

        found = at_hand(corpus, self.settings.data_dir, measured)
        key = corpus_key(hparams[0])
        self.corpora[key] = sampled(found, self.model, self.tokenizer, progress=self.settings.progress)

    def _cache(self, hparams: MomentHParams, corpus: Corpus) -> MomentCache:
        return MomentCache(
            paths.stats_dir(),
            self.model_hash,
            self.tokenizer_hash,
            corpus.digest,
            getattr(torch, hparams.mom2_dtype),
            modeling.max_length(self.model, LONGEST_DOCUMENT),
            self.settings.mom2_tolerance,
        )

    def templates(self, seed: int) -> Made[Templates]:
        """Context templates of that seed."""
        return self.templates_made.get(seed, lambda: generate(self.model, self.tokenizer, seed))

    def moments(self, hparams: MomentHParams) -> Made[CorpusMoments]:
        """Moments of the edited modules, measured (or read) here and now, on the unedited model."""
        corpus, modules = self.corpus(hparams), tuple(hparams.rewrite_modules())
        assert corpus is not None
        key = (*corpus_key(hparams), hparams.mom2_dtype, modules)
        if key in self.moments_made.made:
            return self.moments_made.made[key]
        moments = CorpusMoments(
            self.model,
            self.tokenizer,
            modules,
            corpus,
            dtype=hparams.mom2_dtype,
            cache_dir=paths.stats_dir(),
            batch_tokens=self.settings.batch_tokens,
            progress=self.settings.progress,
            tolerance=self.settings.mom2_tolerance,
        )

        def make() -> CorpusMoments:
            dict(moments)
            return moments

        there = all(moments.cache.header(name) is not None for name in modules)
        return self.moments_made.get(key, make, "a file" if there else "this run")

    def imported(self, hparams: HParams) -> dict[str, str]:
        """Module → sha256 of the published file that its moment was taken from, for those that were not measured."""
        corpus = self.corpus(hparams)
        if not isinstance(hparams, MomentHParams) or corpus is None:
            return {}
        cache = self._cache(hparams, corpus)
        headers = {name: cache.header(name) or {} for name in hparams.rewrite_modules()}
        return {name: header["sha256"] for name, header in headers.items() if "sha256" in header}

    def hashes(self, ds_name: str, hparams: HParams) -> dict[str, object]:
        """What an edit is made from."""
        corpus = self.corpus(hparams)
        return {
            "model": self.model_hash,
            "tokenizer": self.tokenizer_hash,
            "data": self.dataset(ds_name).digest,
            "corpus": corpus.digest if corpus else None,
            "imported": self.imported(hparams),
        }

    def release(self) -> None:
        """With ``--conserve_memory``: keep what was made from moments on the CPU, and give unused GPU memory back."""
        if self.settings.conserve_memory and self.model.device.type == "cuda":
            for moments in self.moments_made.values():
                moments.offload()
            torch.cuda.empty_cache()


def corpus_key(hparams: MomentHParams) -> tuple[str, int]:
    """What names a corpus in hparams."""
    return hparams.mom2_dataset, hparams.mom2_n_samples


def open_session(settings: CommonSettings, ds_names: Sequence[str] = (), hparams: Sequence[HParams] = ()) -> Session:
    """Read what the runs are to be about, then load the model: bad input is told before anything takes long.

    Raises UserError for a results folder, device, data set, corpus, downstream task or model that cannot be had, and
    for hparams that name layers or modules which the model has not.
    """
    check_writable(paths.results_dir(settings.results_dir))
    modeling.resolve_device(settings.device)
    modeling.find_source(settings.model_name, settings.model_path_dir)
    datasets = {name: read_dataset(settings, name) for name in ds_names}
    readers = [one for one in hparams if isinstance(one, MomentHParams)]
    if settings.ppl == "paper" and hparams and not readers:
        readers = [_with_a_corpus(settings)]
    corpora: dict[tuple[str, int], list[MomentHParams]] = {}
    for reader in readers:
        corpora.setdefault(corpus_key(reader), []).append(reader)
    read = {key: read_corpus(some[0], settings.data_dir) for key, some in corpora.items()}
    if settings.ppl == "wikitext2":
        wikitext2(paths.data_dir(settings.data_dir))
    downstream = open_downstream(
        settings.downstream_eval_steps,
        settings.downstream_data,
        settings.downstream_tasks,
        settings.downstream_limit,
    )
    watch = Stopwatch()
    with watch.stage("load"):
        model, tokenizer = modeling.load(settings.model_name, settings.model_path_dir, settings.device, settings.dtype)
        fingerprint = model_hash(model)
    for one in hparams:
        if isinstance(one, LayerHParams):
            check_layers(model, one)
    frame = Frame() if settings.chat_template == "none" else chat_frame(tokenizer, settings.chat_template)
    session = Session(
        settings,
        model,
        tokenizer,
        watch.seconds["load"],
        fingerprint,
        tokenizer_hash(tokenizer),
        {name: _framed(dataset, frame) for name, dataset in datasets.items()},
        {},
        downstream,
        frame,
    )
    for corpus, some in zip(read.values(), corpora.values(), strict=True):
        session.take_corpus(corpus, some)
    return session


def _with_a_corpus(settings: CommonSettings) -> MomentHParams:
    """The model's hparams of ZeroUnlearn, whose corpus ``--ppl paper`` reads beside a method that has none."""
    own = settings.changed(hparams_fname=None, edit_layer_nums=None)
    try:
        hparams = read_hparams(own, "ZeroUnlearn")
    except UserError as error:
        raise UserError(
            f"--ppl paper reads the statistics corpus, this method has none, and ZeroUnlearn's is not known ({error}); "
            "use wikitext2 or none"
        ) from error
    assert isinstance(hparams, MomentHParams)
    return hparams


def _framed(dataset: dsets.Dataset, frame: Frame) -> dsets.Dataset:
    return replace(dataset, records=[in_frame(record, frame) for record in dataset.records])
