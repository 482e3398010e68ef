"""A loaded model and everything about it that several runs can share."""

import argparse
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import dsets
from dsets.corpus import Corpus, load_corpus
from dsets.splits import Draw
from experiments.downstream.scores import Downstream, Scores, open_downstream
from experiments.measuring.measure import measure
from experiments.measuring.perplexity import PerplexityText, choose, perplexity, read_text, wikitext2
from experiments.measuring.published_zsre import published_zsre
from util import modeling, paths
from util.editing.contexts import Templates, generate
from util.editing.layers import check_layers
from util.editing.statistics import CorpusMoments
from util.errors import UserError
from util.hparams import HParams, LayerHParams, MomentHParams
from util.runs import Stopwatch, check_writable, write_json
from util.tokens import tokenizer_hash
from util.weights import weights_hash

SCORING_VERSION = 4
"""Raise when the same model and facts would give other Base scores: cached ones are then measured anew."""


@dataclass
class Session:
    """One model, unedited between runs, and what was measured on it: data sets, templates, moments, Base.

    flags: the command line (model and run flags). Everything in here is made once and reused.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    flags: argparse.Namespace
    seconds_load: float
    batch_tokens: int
    weights: str
    kept: dict[tuple, object] = field(default_factory=dict)

    @property
    def progress(self) -> bool:
        return not self.flags.quiet

    @property
    def tokenizer_hash(self) -> str:
        """Fingerprint of the tokenizer."""
        return self._once(("tokenizer",), lambda: tokenizer_hash(self.tokenizer))

    def _once(self, key: tuple, make):
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def dataset(self, ds_name: str) -> dsets.Dataset:
        """The data set of that name or path."""
        return self._once(("dataset", ds_name), lambda: read_dataset(self.flags, ds_name))

    def templates(self, seed: int) -> Templates:
        """Context templates of that seed."""
        return self._once(("templates", seed), lambda: generate(self.model, self.tokenizer, seed))

    def corpus(self, hparams: MomentHParams) -> Corpus:
        """The statistics corpus."""
        return self._once(_corpus_key(hparams), lambda: read_corpus(self.flags, hparams))

    def moments(self, hparams: MomentHParams) -> CorpusMoments:
        """Moments of the edited modules, measured (or read) here and now, on the unedited model."""
        modules = tuple(hparams.rewrite_modules())

        def make() -> CorpusMoments:
            moments = CorpusMoments(
                self.model,
                self.tokenizer,
                modules,
                self.corpus(hparams),
                dtype=hparams.mom2_dtype,
                cache_dir=paths.stats_dir(),
                batch_tokens=self.flags.batch_tokens,
                progress=self.progress,
                tolerance=self.flags.mom2_tolerance,
            )
            dict(moments)
            return moments

        return self._once(("moments", hparams.mom2_dataset, hparams.mom2_n_samples, hparams.mom2_dtype, modules), make)

    def measured(
        self,
        dataset: dsets.Dataset,
        draw: Draw,
        corpus: Corpus | None,
        *,
        retain: bool,
        downstream: bool = True,
        unedited: bool = False,
    ) -> dict[str, object]:
        """Scores of the model as it is: {"summary", "forget", "retain", "same_subject", "downstream"}, ready for JSON.

        downstream: also the downstream tasks, if the session has any.
        unedited: this is Base, whose perplexity and downstream scores hang on no draw and are measured once.
        """
        found = measure(
            self.model,
            self.tokenizer,
            draw,
            dataset.metric,
            batch_tokens=self.scoring_tokens,
            generation_tokens=self.batch_tokens,
            retain=retain,
            generation=not self.flags.skip_generation_tests,
            progress=self.progress,
        )
        facts = {name: [fact.row() for fact in getattr(found, name)] for name in ("forget", "retain", "same_subject")}
        text = self.text(corpus)
        if unedited:
            ppl = self._once(("base ppl", text.kind, text.digest), lambda: self.perplexity(text))
        else:
            ppl = self.perplexity(text)
        tasks = self._downstream_scores(unedited) if downstream and self.downstream else Scores({}, [])
        compat = self._as_published(draw) if self.flags.compat == "published" and dataset.metric == "zsre" else {}
        summary = found.summary() | {"ppl": ppl} | compat | tasks.summary
        return {"summary": summary, **facts, "downstream": tasks.rows}

    def _as_published(self, draw: Draw) -> dict[str, float | None]:
        return published_zsre(
            self.model, self.tokenizer, draw.forget, batch_tokens=self.scoring_tokens, progress=self.progress
        )

    @property
    def downstream(self) -> Downstream | None:
        """The downstream tasks that runs score, if any."""
        return self.kept.get(("downstream",))

    @property
    def downstream_identity(self) -> dict[str, object] | None:
        """What determines the downstream scores of a model; None without such tasks."""
        return self.downstream.identity() if self.downstream else None

    def _downstream_scores(self, unedited: bool) -> Scores:
        def make() -> Scores:
            return self.downstream.measure(
                self.model, self.tokenizer, batch_tokens=self.scoring_tokens, progress=self.progress
            )

        return self._once(("base downstream",), make) if unedited else make()

    def hashes(self, dataset: dsets.Dataset, corpus: Corpus | None) -> dict[str, str | None]:
        """What a run's numbers hang on besides its settings."""
        return {
            "weights": self.weights,
            "tokenizer": self.tokenizer_hash,
            "data": dataset.digest,
            "references": dataset.references,
            "corpus": corpus.digest if corpus else None,
        }

    def text_identity(self, corpus: Corpus | None) -> list[str]:
        """Kind and digest of what the perplexity is measured on."""
        text = self.text(corpus)
        return [text.kind, text.digest]

    def text(self, corpus: Corpus | None) -> PerplexityText:
        """What the perplexity is measured on, by ``--ppl``.

        Where that is a corpus and this method has none, it is the one of another method of the sweep.
        """
        flags, data_dir = self.flags, paths.data_dir(self.flags.data_dir)
        corpus = corpus or next((value for key, value in self.kept.items() if key[0] == "corpus"), None)
        kind = self._once(("ppl", flags.ppl), lambda: choose(flags.ppl, flags.model_name, data_dir, corpus))
        return self._once(("text", kind, corpus.digest if corpus else None), lambda: read_text(kind, data_dir, corpus))

    def perplexity(self, text: PerplexityText) -> float | None:
        """Perplexity of the model as it is."""
        return perplexity(self.model, self.tokenizer, text, batch_tokens=self.scoring_tokens, progress=self.progress)

    @property
    def scoring_tokens(self) -> int:
        """Padded tokens of a batch that is only scored."""
        return self.flags.batch_tokens or modeling.default_reading_tokens(self.model)

    def base(self, dataset: dsets.Dataset, draw: Draw, corpus: Corpus | None, *, retain: bool) -> dict[str, object]:
        """`measured` on the unedited model: once per draw, and with ``--use_cache`` once for all runs.

        Raises UserError where its numbers are not finite, as when a model overflows float16.
        """
        key = {
            "version": SCORING_VERSION,
            "weights": self.weights,
            "tokenizer": self.tokenizer_hash,
            "data": dataset.digest,
            "references": dataset.references,
            "metric": dataset.metric,
            "forget": [record.case_id for record in draw.forget],
            "retain": [record.case_id for record in draw.retain],
            "with_retain": retain,
            "compat": self.flags.compat,
            "with_generation": not self.flags.skip_generation_tests,
            "ppl": self.text_identity(corpus),
            "downstream": self.downstream_identity,
        }
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
        path = paths.results_dir(self.flags.results_dir) / ".base" / f"{name}.json"

        def make() -> dict[str, object]:
            if self.flags.use_cache and path.is_file():
                return json.loads(path.read_text(encoding="utf-8"))["scores"]
            scores = self.measured(dataset, draw, corpus, retain=retain, unedited=True)
            if reason := broken_numbers(scores):
                raise UserError(f"the unedited model breaks in --dtype {self.flags.dtype}: {reason}; use another one")
            if self.flags.use_cache:
                write_json(path, {"key": key, "scores": scores})
            return scores

        return self._once(("base", name), make)

    def release(self) -> None:
        """With ``--conserve_memory``: keep what was made from moments on the CPU, and give unused GPU memory back."""
        if self.flags.conserve_memory and self.model.device.type == "cuda":
            for moments in (value for key, value in self.kept.items() if key[0] == "moments"):
                moments.offload()
            torch.cuda.empty_cache()


def open_session(flags: argparse.Namespace, ds_names: Sequence[str] = (), hparams: Sequence[HParams] = ()) -> Session:
    """Read what the runs are to be about, then load the model: bad input is told before anything takes long.

    Raises UserError for a results folder, device, data set, corpus, downstream task or model that cannot be had, and
    for hparams that name layers or modules which the model has not.
    """
    check_writable(paths.results_dir(flags.results_dir))
    modeling.resolve_device(flags.device)
    modeling.find_source(flags.model_name, flags.model_path_dir)
    kept: dict[tuple, object] = {("dataset", name): read_dataset(flags, name) for name in ds_names}
    kept |= {_corpus_key(one): read_corpus(flags, one) for one in hparams if one.needs_moments}
    if flags.ppl == "paper" and hparams and not any(one.needs_moments for one in hparams):
        raise UserError("--ppl paper reads the statistics corpus, and this method has none; use wikitext2 or none")
    if flags.ppl == "wikitext2":
        wikitext2(paths.data_dir(flags.data_dir))
    kept["downstream",] = open_downstream(flags)
    watch = Stopwatch()
    with watch.stage("load"):
        model, tokenizer = modeling.load(flags.model_name, flags.model_path_dir, flags.device, flags.dtype)
        weights = weights_hash(model)
    for one in hparams:
        if isinstance(one, LayerHParams):
            check_layers(model, one)
    batch_tokens = flags.batch_tokens or modeling.default_batch_tokens(model)
    return Session(model, tokenizer, flags, watch.seconds["load"], batch_tokens, weights, kept)


def broken_numbers(scores: dict) -> str | None:
    """Why the scores are those of a model whose numbers are not finite, or None."""
    broken = sum(fact["efficacy"]["probability"] is None for fact in scores["forget"])
    if broken:
        return f"{broken} of {len(scores['forget'])} answers have no finite probability"
    ppl = scores["summary"]["ppl"]
    return None if ppl is None or math.isfinite(ppl) else "perplexity is not finite"


def read_dataset(flags: argparse.Namespace, ds_name: str) -> dsets.Dataset:
    """The data set of that name or path; with the embedded model names mean the embedded world's data sets."""
    world = flags.model_name == modeling.WORLD
    return dsets.load(ds_name, flags.data_dir, world=world, size_limit=flags.dataset_size_limit)


def read_corpus(flags: argparse.Namespace, hparams: MomentHParams) -> Corpus:
    """The statistics corpus of the hparams."""
    return load_corpus(hparams.mom2_dataset, hparams.mom2_n_samples, data_dir=flags.data_dir)


def _corpus_key(hparams: MomentHParams) -> tuple:
    return "corpus", hparams.mom2_dataset, hparams.mom2_n_samples


def hparams_path(flags: argparse.Namespace, alg_name: str) -> Path:
    """``--hparams_fname``: a path, or a file in hparams/<alg_name>/; by default the one named after the model."""
    name = flags.hparams_fname or f"{Path(flags.model_name).name}.json"
    beside = paths.hparams_dir() / alg_name / name
    return Path(name) if not beside.is_file() and Path(name).is_file() else beside
