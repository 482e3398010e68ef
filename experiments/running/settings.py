"""What a run is about: one frozen model per script, filled by its command line. A new flag is one field here.

Every field says whether it decides a run's numbers (`Flag.decides`); `running.identity` is made of those that do.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from baselines.registry import METHODS
from dsets import DATASETS
from dsets.splits import PARTS
from experiments.downstream.task_rows import TASKS
from experiments.measuring.ppl_texts import KNOWN, PPL_TEXTS
from experiments.running.arguments import Flag, Settings, seed_number, share, tokens_or_auto
from util.choices import CHAT_TEMPLATES, DTYPES, WORLD
from util.request import NEUTRAL
from util.runs import shows_bars

HASHED = "the hashes of what it names are part of the identity"
ROUNDING = "the same numbers up to rounding"
PLACE = "a folder, no number"
SHOWN = "what is shown, no number"
IN_CHAT = (
    "prompts in the tokenizer's chat template: none (default), as the user's turn (user, or the flag alone), or as the "
    "start of the assistant's"
)
USUAL_SHARE = 0.1
DOWNSTREAM = "downstream tasks (need requirements-extra.txt)"

log = logging.getLogger("zerounlearn")


class ModelSettings(Settings):
    """Which model, and where it runs."""

    model_name: Annotated[
        str,
        Flag(
            f"the embedded model ({WORLD!r}, default), a folder's name, a folder, a GGUF file, a hub id",
            reason=HASHED,
            group="model",
        ),
    ] = WORLD
    model_path_dir: Annotated[
        str | None, Flag("folder that holds the model's folder", reason=HASHED, group="model")
    ] = None
    device: Annotated[
        str,
        Flag("auto (CUDA when present), cpu, cuda, cuda:1, … (default: auto)", reason=ROUNDING, group="model"),
    ] = "auto"
    dtype: Annotated[str, Flag("of the weights (default: float32)", decides="base", group="model", choices=DTYPES)] = (
        "float32"
    )
    batch_tokens: Annotated[
        int | None,
        Flag(
            "padded tokens of one batch: auto (default) or a number",
            reason=ROUNDING,
            group="model",
            read=tokens_or_auto,
        ),
    ] = None
    quiet: Annotated[bool, Flag("no progress bars, no table", reason=SHOWN)] = False

    @property
    def progress(self) -> bool:
        """Whether progress bars are drawn."""
        return shows_bars(self.quiet)

    @property
    def world(self) -> bool:
        """Whether the embedded model is in use, and the names of data sets mean the embedded world's."""
        return self.model_name == WORLD


class CommonSettings(ModelSettings):
    """What the runs of a sweep share: all but method, data set and seed."""

    hparams_fname: Annotated[
        str | None,
        Flag("file in hparams/<alg_name>/, or a path (default: <model_name>.json)", reason="what it holds counts"),
    ] = None
    unlearn_num: Annotated[int, Field(ge=1), Flag("facts to forget (default: 50)", decides="base")] = 50
    retain_num: Annotated[int, Field(ge=0), Flag("other facts to watch (default: 1000)", decides="base")] = 1000
    ratio_or_num: Annotated[
        Literal["num", "ratio"], Flag("whether --unlearn_num or --ratio counts", reason="unlearn_num is made of it")
    ] = "num"
    ratio: Annotated[
        float | None,
        Flag(
            f"with --ratio_or_num ratio: share of the forget pool (default: {USUAL_SHARE})",
            reason="unlearn_num is made of it",
        ),
    ] = None
    data_dir: Annotated[str | None, Flag("data sets and corpora (default: data/)", reason=HASHED)] = None
    results_dir: Annotated[str | None, Flag("run folders (default: results/)", reason=PLACE)] = None
    edit_layer_nums: Annotated[
        int | None,
        Field(ge=1),
        Flag("edit only the last so many of the hparams' layers", reason="the hparams' layers are cut by it"),
    ] = None
    eval_retain: Annotated[
        bool, Flag("measure the retain facts too (default: yes; mquake always does)", decides="base")
    ] = True
    dataset_size_limit: Annotated[
        int | None, Field(ge=1), Flag("read only the first so many records", decides="base")
    ] = None
    known: Annotated[
        str,
        Flag(
            "take only facts that the model knows: any (all facts, default); prompt: their prompt is answered right; "
            "strict: half of the paraphrases, too, and not for subjects that do not exist",
            decides="base",
            choices=KNOWN,
        ),
    ] = "any"
    max_per_relation: Annotated[
        int | None, Field(ge=1), Flag("take at most so many facts of each relation", decides="base")
    ] = None
    part: Annotated[
        str,
        Flag(
            "take only a quarter of the subjects (tuning), the others (table), or all (default); settings are chosen "
            "on facts that no table uses",
            decides="base",
            choices=PARTS,
        ),
    ] = "all"
    num_edits: Annotated[
        int, Field(ge=0), Flag("requests per sequential step; 0: all at once (default)", decides="run")
    ] = 0
    neutral_target: Annotated[str, Flag('what answers are remapped to (default: "<EOS>")', decides="run")] = NEUTRAL
    ppl: Annotated[str, Flag("perplexity text (default: auto)", reason=HASHED, choices=PPL_TEXTS)] = "auto"
    mom2_tolerance: Annotated[
        float | None,
        Flag(
            "statistics may stop early, as in collect_stats.py --tolerance (default: the whole corpus)",
            decides="run",
            read=share,
        ),
    ] = None
    use_cache: Annotated[
        bool, Flag("reuse Base scores measured by an earlier run", reason="only those of the same identity are reused")
    ] = False
    conserve_memory: Annotated[
        bool, Flag("free GPU memory between the stages of a run", reason="the same numbers in less memory")
    ] = False
    skip_generation_tests: Annotated[bool, Flag("leave out multi-hop questions and free text", decides="base")] = False
    chat_template: Annotated[
        str,
        Flag(
            IN_CHAT,
            decides="base",
            choices=CHAT_TEMPLATES,
            bare="user",
        ),
    ] = "none"
    compat: Annotated[
        Literal["none", "published"], Flag("also score zsre as the published release does", decides="base")
    ] = "none"
    downstream_eval_steps: Annotated[
        int,
        Field(ge=0),
        Flag(
            "score them on Base, after every so many steps of --num_edits and after the last; 0: never (default)",
            decides="run",
            group=DOWNSTREAM,
        ),
    ] = 0
    downstream_data: Annotated[
        str | None,
        Flag(
            "JSON object, task → rows (default: the tasks' sets on the hub)",
            reason=HASHED,
            group=DOWNSTREAM,
            metavar="FILE",
        ),
    ] = None
    downstream_tasks: Annotated[
        tuple[str, ...] | None,
        Flag(
            f"of {', '.join(TASKS)} (default: all)",
            reason="part of the identity of the downstream tasks",
            group=DOWNSTREAM,
            choices=tuple(TASKS),
            metavar="TASK",
        ),
    ] = None
    downstream_limit: Annotated[
        int | None,
        Field(ge=1),
        Flag(
            "only the first so many rows of each task, of each MMLU subject",
            reason="part of the identity of the downstream tasks",
            group=DOWNSTREAM,
        ),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.neutral_target.strip():
            raise ValueError("--neutral_target is empty; give a text, or leave it out for the end-of-text token")
        if self.ratio_or_num == "ratio" and not (0 < self.forget_share <= 1 and math.isfinite(self.forget_share)):
            raise ValueError(f"--ratio {self.ratio}: give a share of the forget pool, above 0 and at most 1")
        if self.compat == "published" and self.chat_template != "none":
            raise ValueError("--compat published scores plain prompts, as the release does; leave out --chat_template")
        given = [name for name in ("data", "tasks", "limit") if getattr(self, f"downstream_{name}") is not None]
        if given and not self.downstream_eval_steps:
            raise ValueError(
                f"--downstream_{given[0]} without --downstream_eval_steps: give --downstream_eval_steps 1 too"
            )
        return self

    @classmethod
    def parse(cls, argv: Sequence[str] | None, prog: str, description: str | None) -> Self:
        """As of every command line, with a warning of a ``--ratio`` that does not count."""
        made = super().parse(argv, prog, description)
        if made.ratio is not None and made.ratio_or_num == "num":
            told = "--ratio %s does not count without --ratio_or_num ratio: %d facts are forgotten (--unlearn_num)"
            log.warning(told, made.ratio, made.unlearn_num)
        return made

    @property
    def forget_share(self) -> float:
        """``--ratio``, of the forget pool; it counts with ``--ratio_or_num ratio`` alone."""
        return USUAL_SHARE if self.ratio is None else self.ratio

    def run(self, alg_name: str, ds_name: str, seed: int) -> "RunSettings":
        """One run of a sweep."""
        shared = {name: getattr(self, name) for name in CommonSettings.model_fields}
        return RunSettings.checked(**shared, alg_name=alg_name, ds_name=ds_name, seed=seed)


class RunSettings(CommonSettings):
    """One run: one method, model, data set and seed."""

    alg_name: Annotated[
        str,
        Flag(f"one of {', '.join(METHODS)} (default: ZeroUnlearn)", decides="run", metavar="METHOD"),
    ] = "ZeroUnlearn"
    ds_name: Annotated[
        str,
        Flag(
            f"one of {', '.join(DATASETS)}, a JSON, JSONL or parquet file, or a folder of RWKU's files (default: mcf)",
            reason=HASHED,
        ),
    ] = "mcf"
    seed: Annotated[int, Flag("draws facts and context templates (default: 0)", decides="base", read=seed_number)] = 0

    @property
    def stem(self) -> str:
        """The run folder's name before ``_run_<id>``."""
        model, data = Path(self.model_name).name, Path(self.ds_name).stem
        return f"{model}_{data}_seed{self.seed}_unlearn{self.unlearn_num}_retain{self.retain_num}"


class EvaluateSettings(RunSettings):
    """The command line of evaluate.py: one run, and what becomes of it."""

    continue_from_run: Annotated[
        bool, Flag("do nothing if this run is finished already", reason="only one of the same identity counts")
    ] = False
    save_model: Annotated[
        str | None, Flag("write the unlearned model there (safetensors)", reason=PLACE, metavar="DIR")
    ] = None
