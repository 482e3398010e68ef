"""Command lines of scripts that are more than one run, or none: the grid of sweep.py, statistics, causal traces."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from baselines.registry import FORGETTING, METHODS
from dsets import DATASETS, USUAL, usual
from dsets.splits import PARTS
from experiments.benchmarking.work import WORK
from experiments.measuring.ppl_texts import KNOWN, PPL_TEXTS
from experiments.running.arguments import Flag, forgetting, seed_number, share
from experiments.running.settings import HASHED, IN_CHAT, PLACE, ROUNDING, CommonSettings, ModelSettings, RunSettings
from experiments.running.sweeping.variants import PRESETS
from experiments.tracing.pieces import PIECES
from util.choices import CHAT_TEMPLATES, WORLD

ARMS = ("ledger", "repeated", "alphaedit")
"""Of arrivals.py: see `experiments.requests.over_time`."""

HPARAMS = "file in hparams/<alg_name>/, or a path (default: <model_name>.json)"
METHOD = f"one of {', '.join(METHODS)} (default: ZeroUnlearn)"


class FactsSettings(ModelSettings):
    """What scripts share that are about facts and part of no table: the data set that is taken where none is named."""

    ds_name: Annotated[
        str, Flag(f"facts: one of {', '.join(DATASETS)}, or a file (default: {USUAL})", reason=HASHED)
    ] = ""

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, values: dict[str, object]) -> dict[str, object]:
        world = values.get("model_name", WORLD) == WORLD
        return values | {"ds_name": values.get("ds_name") or usual(world=world)}


class SweepSettings(CommonSettings):
    """The command line of sweep.py: models × data sets × seeds × rows of the table."""

    models: Annotated[
        tuple[str, ...] | None,
        Flag("several of what --model_name takes, each with a table of its own", reason=HASHED, group="grid"),
    ] = None
    methods: Annotated[tuple[str, ...], Flag(f"of {', '.join(METHODS)}; or all", decides="run", group="grid")] = (
        "ZeroUnlearn",
    )
    datasets: Annotated[tuple[str, ...], Flag("names or files, as in evaluate.py", reason=HASHED, group="grid")] = (
        "mcf",
        "zsre",
        "mquake",
    )
    seeds: Annotated[
        tuple[int, ...], Flag("draws (default: 0 1 2)", decides="base", group="grid", read=seed_number)
    ] = (0, 1, 2)
    preset: Annotated[
        str | None,
        Flag("vary one method instead (the paper's ablations)", decides="run", group="grid", choices=tuple(PRESETS)),
    ] = None
    report: Annotated[
        str, Flag("name of the report's files in the results folder (default: table)", reason=PLACE, group="grid")
    ] = "table"
    gpus: Annotated[
        str,
        Flag("auto (the free ones), 0,2,… or none: no process per GPU (default)", reason=ROUNDING, group="grid"),
    ] = "none"

    @model_validator(mode="after")
    def _one_way_to_name_models(self) -> Self:
        if self.models is not None and self.model_name != WORLD:
            raise ValueError("--models and --model_name both name models; leave one of them out")
        return self


class TuneSettings(FactsSettings, CommonSettings):
    """The command line of tune.py: a search for hparams, one method after another."""

    alg_name: Annotated[str, Flag("methods, separated by commas, or all (default: ZeroUnlearn)", metavar="METHODS")] = (
        "ZeroUnlearn"
    )
    seed: Annotated[int, Flag("draws the facts (default: 100)", decides="base", read=seed_number)] = 100
    part: Annotated[
        str,
        Flag(
            "the facts that settings are chosen on: tuning, a quarter of the subjects (default), which tables with "
            "--part table do not use; or all",
            decides="base",
            choices=PARTS,
        ),
    ] = "tuning"
    unlearn_num: Annotated[int, Field(ge=1), Flag("facts to forget (default: 20)", decides="base")] = 20
    retain_num: Annotated[int, Field(ge=0), Flag("other facts to watch (default: 50)", decides="base")] = 50


class CollectSettings(ModelSettings):
    """The command line of collect_stats.py."""

    alg_name: Annotated[
        str,
        Flag(
            f"whose hparams name modules and corpus: {METHOD}; methods with the same ones share the files",
            metavar="METHOD",
        ),
    ] = "ZeroUnlearn"
    hparams_fname: Annotated[str | None, Flag(HPARAMS)] = None
    layers: Annotated[tuple[int, ...] | None, Flag("measure these layers (default: those of the hparams)")] = None
    data_dir: Annotated[str | None, Flag("where a corpus file is looked for, too (default: data/)")] = None
    shards: Annotated[int | None, Flag("divide the corpus into so many shares")] = None
    shard: Annotated[int | None, Flag("measure this share, 0 to shards - 1")] = None
    merge: Annotated[bool, Flag("join the shares, all measured, into the finished files")] = False
    imported: Annotated[
        tuple[str, ...] | None,
        Flag(
            "take these .npz files of ROME, MEMIT, AlphaEdit or EasyEdit for the corpus's moments, one a layer",
            name="import",
            metavar="FILE",
        ),
    ] = None
    tolerance: Annotated[
        float | None,
        Flag(
            "stop once doubling the documents moves the update they would cause by at most this share (such as 0.05); "
            "kept apart from moments of the whole corpus: give evaluate.py the same --mom2_tolerance",
            read=share,
        ),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        divided = self.shard is not None or self.merge
        if divided != (self.shards is not None) or (self.shard is not None and self.merge):
            raise ValueError("--shards N goes with either --shard I (measure a share) or --merge (join them)")
        if self.shards is not None and self.shards < 1:
            raise ValueError(f"--shards {self.shards}: give at least 1")
        if self.shards is not None and self.shard is not None and not 0 <= self.shard < self.shards:
            raise ValueError(f"--shard {self.shard}: with --shards {self.shards} give 0 to {self.shards - 1}")
        if self.imported is not None and (divided or self.tolerance is not None):
            raise ValueError("--import measures nothing; leave out --shards and --tolerance")
        if self.tolerance is not None and divided:
            raise ValueError(
                "--tolerance looks at one growing sum and cannot be divided; leave out --shards, or --tolerance"
            )
        return self


class CausalTraceSettings(FactsSettings):
    """The command line of causal_trace.py."""

    data_dir: Annotated[str | None, Flag("data sets (default: data/)")] = None
    facts: Annotated[int, Field(ge=1), Flag("known facts to trace (default: 100)")] = 100
    chat_template: Annotated[
        str,
        Flag(
            IN_CHAT,
            choices=CHAT_TEMPLATES,
            bare="user",
        ),
    ] = "none"
    samples: Annotated[int, Field(ge=1), Flag("draws of the noise for each fact (default: 10)")] = 10
    noise: Annotated[float, Flag("in standard deviations of the subjects' embeddings (default: 3)")] = 3.0
    window: Annotated[
        int | None,
        Field(ge=1),
        Flag("layers whose MLP or attention is put back together (default: a fifth of the depth)"),
    ] = None
    kinds: Annotated[tuple[str, ...], Flag("what is put back (default: all three)", choices=PIECES)] = PIECES
    tokens: Annotated[
        Literal["all", "subject_last"],
        Flag("where something is put back: at all from the subject on (default), or at the subject's last alone"),
    ] = "all"
    answer: Annotated[Literal["first", "whole"], Flag("tokens of the answer to read (default: first)")] = "first"
    seed: Annotated[int, Flag("draws the facts and the noise (default: 0)", read=seed_number)] = 0
    output: Annotated[
        str | None, Flag("folder of the JSON and the PNG (default: results/causal_trace/)", metavar="DIR")
    ] = None
    skip_plot: Annotated[bool, Flag("write no heat map (it needs matplotlib)")] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.noise >= 0:
            raise ValueError(f"--noise {self.noise}: give at least 0")
        if math.isinf(self.noise):
            raise ValueError(f"--noise {self.noise}: give a number, such as 3")
        return self


class ArrivalsSettings(FactsSettings):
    """The command line of arrivals.py."""

    alg_name: Annotated[
        str,
        Flag(
            f"of the ledger and of the repeated edits: one of {', '.join(FORGETTING)} (default: MEMIT)",
            read=forgetting,
            metavar="METHOD",
        ),
    ] = "MEMIT"
    hparams_fname: Annotated[str | None, Flag(HPARAMS)] = None
    data_dir: Annotated[str | None, Flag("data sets and corpora (default: data/)")] = None
    known: Annotated[str, Flag("take only facts that the model knows, as in evaluate.py", choices=KNOWN)] = "any"
    steps: Annotated[int, Field(ge=1), Flag("how often requests arrive (default: 20)")] = 20
    size: Annotated[int, Field(ge=1), Flag("facts that arrive at a time (default: 10)")] = 10
    watched: Annotated[int, Field(ge=0), Flag("other facts to watch (default: 200)")] = 200
    arms: Annotated[tuple[str, ...], Flag("what is compared (default: all three)", choices=ARMS)] = ARMS
    seed: Annotated[int, Flag("draws facts and context templates (default: 0)", read=seed_number)] = 0
    ppl: Annotated[str, Flag("perplexity text (default: auto)", choices=PPL_TEXTS)] = "auto"
    output: Annotated[str | None, Flag("folder of figures and picture (default: results/arrivals)")] = None
    skip_plot: Annotated[bool, Flag("draw no picture")] = False

    def run_settings(self) -> RunSettings:
        """What evaluate.py is told for the same facts, all at once."""
        shared = {name: getattr(self, name) for name in RunSettings.model_fields if name in type(self).model_fields}
        return RunSettings.checked(**shared, unlearn_num=self.steps * self.size, retain_num=self.watched)


class SuggestSettings(ModelSettings):
    """The command line of suggest_hparams.py."""

    alg_name: Annotated[str, Flag(METHOD, metavar="METHOD")] = "ZeroUnlearn"
    facts: Annotated[
        str | None,
        Flag(f"facts for the causal trace: one of {', '.join(DATASETS)}, or a file (default: {USUAL})"),
    ] = None
    data_dir: Annotated[str | None, Flag("data sets (default: data/)")] = None
    like: Annotated[
        str | None,
        Flag(
            "whose hparams to start from (default: Llama-3.1-8B-Instruct; the embedded model's own for it)",
            metavar="MODEL",
        ),
    ] = None
    output: Annotated[str | None, Flag("(default: hparams/<alg_name>/<model_name>.json)", metavar="FILE")] = None
    force: Annotated[bool, Flag("overwrite the file if it exists")] = False
    seed: Annotated[int, Flag("draws the facts and the trace's noise (default: 0)", read=seed_number)] = 0


class KnownFactsSettings(FactsSettings):
    """The command line of known_facts.py."""

    known: Annotated[
        str,
        Flag("prompt or strict, as in evaluate.py (default: strict)", choices=KNOWN[1:]),
    ] = "strict"
    max_per_relation: Annotated[int | None, Field(ge=1), Flag("write at most so many facts of each relation")] = None
    output: Annotated[
        str | None, Flag("write the facts there, as CounterFact records (default: only count)", metavar="FILE")
    ] = None
    data_dir: Annotated[str | None, Flag("data sets, and what was found out (default: data/)")] = None
    dataset_size_limit: Annotated[int | None, Field(ge=1), Flag("read only the first so many records")] = None


class ValueGeometrySettings(FactsSettings):
    """The command line of value_geometry.py."""

    data_dir: Annotated[str | None, Flag("data sets (default: data/)")] = None
    counts: Annotated[tuple[int, ...], Flag("numbers of facts to forget (default: 5 10 20 50)")] = (5, 10, 20, 50)
    others: Annotated[int, Field(ge=2), Flag("other facts, and invented subjects, to watch (default: 100)")] = 100
    layers: Annotated[tuple[int, ...] | None, Flag("layers to look at (default: all)")] = None
    sensitive: Annotated[
        Literal["values", "search"],
        Flag("the directions removed: the facts' own values, or the target values that ZeroUnlearn searches (slow)"),
    ] = "values"
    answers: Annotated[
        bool, Flag("also ask the other facts after each projector alone, nothing being remapped (slow)")
    ] = False
    hparams_fname: Annotated[str | None, Flag(HPARAMS.replace("<alg_name>", "ZeroUnlearn"))] = None
    seed: Annotated[int, Flag("draws the facts and the invented names (default: 0)", read=seed_number)] = 0
    output: Annotated[
        str | None, Flag("write the numbers as JSON there, too (default: only the table)", metavar="FILE")
    ] = None
    plot: Annotated[str | None, Flag("draw the figure as SVG there (needs matplotlib)", metavar="FILE")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if min(self.counts, default=0) < 1:
            raise ValueError(f"--counts {' '.join(map(str, self.counts))}: give numbers of at least 1")
        return self


class BenchmarkSettings(FactsSettings):
    """The command line of benchmark.py."""

    work: Annotated[tuple[str, ...], Flag("what to measure (default: all)", choices=WORK)] = WORK
    facts: Annotated[int, Field(ge=1), Flag("facts of the target search and the solve (default: 50)")] = 50
    documents: Annotated[int, Field(ge=1), Flag("documents of the moments (default: 300)")] = 300
    hparams_fname: Annotated[str | None, Flag(HPARAMS.replace("<alg_name>", "ZeroUnlearn"))] = None
    data_dir: Annotated[str | None, Flag("data sets and corpora (default: data/)")] = None
    json_file: Annotated[str | None, Flag("also write the measurements to this file", name="json", metavar="FILE")] = (
        None
    )
