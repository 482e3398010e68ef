"""The flags of a run, shared by every script that makes runs."""

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path

from baselines.registry import METHODS
from dsets import DATASETS
from experiments.downstream.task_rows import TASKS
from experiments.measuring.perplexity import KINDS
from util.errors import UserError
from util.modeling import DTYPES, WORLD
from util.request import NEUTRAL
from util.runs import Parser


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """Which model, and where it runs."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model_name",
        default=WORLD,
        help=f"the embedded model ({WORLD!r}, default), a folder's name, a folder, a hub id",
    )
    group.add_argument("--model_path_dir", help="folder that holds the model's folder")
    group.add_argument(
        "--device", default="auto", help="auto (CUDA when present), cpu, cuda, cuda:1, … (default: auto)"
    )
    group.add_argument("--dtype", default="float32", choices=list(DTYPES), help="of the weights (default: float32)")
    group.add_argument(
        "--batch_tokens", type=_batch_tokens, help="padded tokens of one batch: auto (default) or a number"
    )


def _batch_tokens(text: str) -> int | None:
    if text == "auto":
        return None
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither 'auto' nor a number above 0")


def seed_number(text: str) -> int:
    """A whole number that every generator takes, on a command line."""
    if re.fullmatch(r"-?\d{1,9}", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at most 9 digits")


def share(text: str) -> float:
    """A number above 0 and below 1, on a command line."""
    try:
        if 0 < float(text) < 1:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no share above 0 and below 1")


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """What a run does besides its method, data set and seed."""
    group = parser.add_argument_group("run")
    group.add_argument("--hparams_fname", help="file in hparams/<alg_name>/, or a path (default: <model_name>.json)")
    group.add_argument("--unlearn_num", type=int, default=50, help="facts to forget (default: 50)")
    group.add_argument("--retain_num", type=int, default=1000, help="other facts to watch (default: 1000)")
    group.add_argument(
        "--ratio_or_num", choices=["num", "ratio"], default="num", help="whether --unlearn_num or --ratio counts"
    )
    group.add_argument("--ratio", type=float, default=0.1, help="with --ratio_or_num ratio: share of the forget pool")
    group.add_argument("--data_dir", help="data sets and corpora (default: data/)")
    group.add_argument("--results_dir", help="run folders (default: results/)")
    group.add_argument("--edit_layer_nums", type=int, help="edit only the last so many of the hparams' layers")
    group.add_argument(
        "--eval_retain",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the retain facts too (default: yes; mquake always does)",
    )
    group.add_argument("--dataset_size_limit", type=int, help="read only the first so many records")
    group.add_argument(
        "--num_edits", type=int, default=0, help="requests per sequential step; 0: all at once (default)"
    )
    group.add_argument("--neutral_target", default=NEUTRAL, help='what answers are remapped to (default: "<EOS>")')
    group.add_argument("--ppl", choices=KINDS, default="auto", help="perplexity text (default: auto)")
    group.add_argument(
        "--mom2_tolerance",
        type=share,
        help="statistics may stop early, as in collect_stats.py --tolerance (default: the whole corpus)",
    )
    group.add_argument("--use_cache", action="store_true", help="reuse Base scores measured by an earlier run")
    group.add_argument("--conserve_memory", action="store_true", help="free GPU memory between the stages of a run")
    group.add_argument(
        "--skip_generation_tests", action="store_true", help="leave out multi-hop questions and free text"
    )
    group.add_argument(
        "--compat", choices=["none", "published"], default="none", help="also score zsre as the published release does"
    )
    group.add_argument("--quiet", action="store_true", help="no progress bars, no table")
    _add_downstream_flags(parser)


def _add_downstream_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("downstream tasks (need requirements-extra.txt)")
    group.add_argument(
        "--downstream_eval_steps",
        type=int,
        default=0,
        help="score them on Base, after every so many steps of --num_edits and after the last; 0: never (default)",
    )
    group.add_argument(
        "--downstream_data", metavar="FILE", help="JSON object, task → rows (default: the tasks' sets on the hub)"
    )
    group.add_argument(
        "--downstream_tasks",
        nargs="+",
        choices=list(TASKS),
        metavar="TASK",
        help=f"of {', '.join(TASKS)} (default: all)",
    )
    group.add_argument(
        "--downstream_limit", type=int, help="only the first so many rows of each task, of each MMLU subject"
    )


def evaluate_parser() -> Parser:
    """Flags of evaluate.py."""
    parser = Parser(
        prog="evaluate.py",
        description="Forget facts with one method and measure what is left: one method, model, data set and seed.",
    )
    parser.add_argument(
        "--alg_name",
        default="ZeroUnlearn",
        metavar="METHOD",
        help=f"one of {', '.join(METHODS)} (default: ZeroUnlearn)",
    )
    parser.add_argument(
        "--ds_name",
        default="mcf",
        help=f"one of {', '.join(DATASETS)}, a JSON/JSONL file, or a folder of RWKU's files (default: mcf)",
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="draws facts and context templates (default: 0)")
    add_model_flags(parser)
    add_run_flags(parser)
    parser.add_argument("--continue_from_run", action="store_true", help="do nothing if this run is finished already")
    parser.add_argument("--save_model", metavar="DIR", help="write the unlearned model there (safetensors)")
    return parser


@dataclass(frozen=True)
class Stem:
    """The part of a run folder's name before ``_run_<id>``."""

    model_name: str
    ds_name: str
    seed: int
    unlearn_num: int
    retain_num: int

    def __str__(self) -> str:
        model, data = Path(self.model_name).name, Path(self.ds_name).stem
        return f"{model}_{data}_seed{self.seed}_unlearn{self.unlearn_num}_retain{self.retain_num}"


def check(arguments: argparse.Namespace) -> None:
    """UserError for numbers no run can have."""
    lowest = {"unlearn_num": 1, "retain_num": 0, "num_edits": 0, "downstream_eval_steps": 0}
    for name, least in lowest.items():
        if getattr(arguments, name) < least:
            raise UserError(f"--{name} {getattr(arguments, name)}: give at least {least}")
    if arguments.edit_layer_nums is not None and arguments.edit_layer_nums < 1:
        raise UserError(
            f"--edit_layer_nums {arguments.edit_layer_nums}: give at least 1, or leave it out for all layers"
        )
    _check_downstream(arguments)
    if not arguments.neutral_target.strip():
        raise UserError("--neutral_target is empty; give a text, or leave it out for the end-of-text token")
    if arguments.ratio_or_num == "ratio" and not (0 < arguments.ratio <= 1 and math.isfinite(arguments.ratio)):
        raise UserError(f"--ratio {arguments.ratio}: give a share of the forget pool, above 0 and at most 1")


def _check_downstream(arguments: argparse.Namespace) -> None:
    given = [name for name in ("data", "tasks", "limit") if getattr(arguments, f"downstream_{name}") is not None]
    if given and not arguments.downstream_eval_steps:
        raise UserError(f"--downstream_{given[0]} without --downstream_eval_steps: give --downstream_eval_steps 1 too")
    if arguments.downstream_limit is not None and arguments.downstream_limit < 1:
        raise UserError(f"--downstream_limit {arguments.downstream_limit}: give at least 1, or leave it out for all")
