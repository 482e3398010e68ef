"""The command line of unlearn.py."""

from typing import Annotated, Literal, Self

from pydantic import model_validator

from baselines.registry import BEST, FORGETTING
from dsets import DATASETS, USUAL, usual
from experiments.measuring.ppl_texts import PPL_TEXTS
from experiments.running.arguments import Flag, forgetting, seed_number, share
from experiments.running.settings import ModelSettings
from util.request import NEUTRAL


class UnlearnSettings(ModelSettings):
    """Which requests, by which method, and what becomes of the model."""

    requests: Annotated[
        str | None, Flag("what to forget: JSON lines, JSON or CSV; - reads standard input", metavar="FILE")
    ] = None
    all: Annotated[bool, Flag("also unlearn what the model does not know (default: reported and left out)")] = False
    facts_of: Annotated[
        str | None,
        Flag(
            f"data set for facts about a subject, neighbours and watched facts: one of {', '.join(DATASETS)}, or a "
            f"file (default: {USUAL})",
            metavar="DATASET",
        ),
    ] = None
    alg_name: Annotated[
        str, Flag(f"one of {', '.join(FORGETTING)} (default: {BEST})", read=forgetting, metavar="METHOD")
    ] = BEST
    hparams_fname: Annotated[
        str | None,
        Flag(
            "file in hparams/<alg_name>/, or a path (default: <model_name>.json, else made as suggest_hparams.py does)"
        ),
    ] = None
    neutral_target: Annotated[str, Flag('what answers are remapped to (default: "<EOS>")')] = NEUTRAL
    seed: Annotated[int, Flag("of context templates, watched facts and attacks (default: 0)", read=seed_number)] = 0
    mom2_tolerance: Annotated[
        float | None, Flag("statistics may stop early, as in collect_stats.py --tolerance", read=share)
    ] = None
    data_dir: Annotated[str | None, Flag("data sets and corpora (default: data/)")] = None
    save_model: Annotated[str | None, Flag("write the unlearned model there", group="result", metavar="DIR")] = None
    save_patch: Annotated[
        str | None, Flag("write the change alone, as a patch (patch.py)", group="result", metavar="FILE")
    ] = None
    dry_run: Annotated[
        bool, Flag("check, say what is known, estimate time, memory and damage; write nothing", group="result")
    ] = False
    report: Annotated[
        str | None,
        Flag("folder of report.json and report.html (default: results/unlearn/…)", group="result", metavar="DIR"),
    ] = None
    attacks: Annotated[
        Literal["quick", "none"],
        Flag("attacks of the report: audit.py's quick ones (default), or none", group="result"),
    ] = "quick"
    ppl: Annotated[str, Flag("perplexity text (default: auto)", group="result", choices=PPL_TEXTS)] = "auto"
    ledger: Annotated[
        str | None, Flag("keep requests that come over time there; all are unlearned together", metavar="DIR")
    ] = None
    withdraw: Annotated[str | None, Flag("take a request of the ledger back", metavar="ID")] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.requests is None and self.withdraw is None:
            raise ValueError("--requests FILE is missing; name the file of what to forget, or - for standard input")
        if self.withdraw is not None and (self.ledger is None or self.requests is not None):
            raise ValueError("--withdraw ID goes with --ledger DIR and without --requests; give these")
        if not (self.save_model or self.save_patch or self.dry_run):
            raise ValueError("nothing would be kept: give --save_model DIR, --save_patch FILE, or --dry_run")
        if self.dry_run and (self.save_model or self.save_patch or self.report or self.ledger):
            raise ValueError(
                "--dry_run writes nothing; leave out --save_model, --save_patch, --report and --ledger, or --dry_run"
            )
        if not self.neutral_target.strip():
            raise ValueError("--neutral_target is empty; give a text, or leave it out for the end-of-text token")
        return self

    @property
    def watched(self) -> str:
        """The data set of `facts_of`."""
        return self.facts_of or usual(world=self.world)
