"""Write a first hparams file for a new model: module names from the model itself, layers from a causal trace.

    python experiments/suggest_hparams.py --model_name Qwen3-4B --model_path_dir models
    python experiments/suggest_hparams.py --model_name my-model --alg_name MEMIT --facts my_facts.jsonl

Everything else is copied from the file of another model (--like). The result is a start: the strengths (learning rates,
weights of the objective) want to be tried on the new model.
"""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from transformers import PreTrainedModel, PreTrainedTokenizerBase

import dsets
from baselines.registry import METHODS, method
from experiments.running.arguments import add_model_flags, seed_number
from experiments.tracing.effects import how_many_layers, mean_effects, suggested_layers
from experiments.tracing.restoring import MLP, TraceSettings, default_window, trace
from experiments.tracing.traced_facts import known_facts
from util import modeling, paths
from util.editing.layers import check_layers
from util.errors import UserError
from util.hparams import LayerHParams
from util.modeling import module_names
from util.runs import Parser, check_writable, cli, write_json

LIKE = "Llama-3.1-8B-Instruct"
TRACED, FEWEST, TRIED = 100, 10, 2000
"""Known facts that are traced, that a trace needs, and facts that are tried to find them."""


def main(argv: Sequence[str] | None = None) -> None:
    """Check what can be checked before the model is loaded, then name its modules, choose layers, write the file."""
    flags = parser().parse_args(argv)
    name = Path(flags.model_name).name
    target = Path(flags.output) if flags.output else paths.hparams_dir() / flags.alg_name / f"{name}.json"
    if target.exists() and not flags.force:
        raise UserError(f"{target} exists; give --force to overwrite it, or another --output")
    if target.is_dir():
        raise UserError(f"{target} is a folder; name a file with --output")
    check_writable(target.parent, "--output")
    made, like = _like(flags)
    modeling.resolve_device(flags.device)
    modeling.find_source(flags.model_name, flags.model_path_dir)
    records, lack = _records(flags)
    model, tokenizer = modeling.load(flags.model_name, flags.model_path_dir, flags.device, flags.dtype)
    names = module_names(model)
    layers, reason = _layers(flags, model, tokenizer, records) if records else _usual(model, lack)
    values = adapted(like, names, layers, modeling.layer_count(model))
    check_layers(model, made(**values))
    write_json(target, values)
    print(f"{target}: layers {', '.join(map(str, values['layers']))} ({reason})")


def parser() -> Parser:
    """Flags of suggest_hparams.py."""
    made = Parser(prog="suggest_hparams.py", description=__doc__)
    add_model_flags(made)
    made.add_argument(
        "--alg_name",
        default="ZeroUnlearn",
        metavar="METHOD",
        help=f"one of {', '.join(METHODS)} (default: ZeroUnlearn)",
    )
    made.add_argument(
        "--facts",
        help="facts for the causal trace: a data set's name, or a JSON/JSONL file (default: mcf, where it can be had)",
    )
    made.add_argument("--data_dir", help="data sets (default: data/)")
    made.add_argument(
        "--like",
        metavar="MODEL",
        help=f"whose hparams to start from (default: {LIKE}; the embedded model's own for it)",
    )
    made.add_argument("--output", metavar="FILE", help="(default: hparams/<alg_name>/<model_name>.json)")
    made.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    made.add_argument("--seed", type=seed_number, default=0, help="draws the facts and the trace's noise (default: 0)")
    made.add_argument("--quiet", action="store_true", help="no progress bar")
    return made


def _like(flags: argparse.Namespace) -> tuple[type[LayerHParams], dict[str, object]]:
    """The method's hparams class, and the values to start from. UserError for a method that edits no layers."""
    made = method(flags.alg_name).HParams
    if not issubclass(made, LayerHParams):
        raise UserError(f"--alg_name {flags.alg_name} edits no layers and needs no hparams file")
    like = flags.like or (modeling.WORLD if flags.model_name == modeling.WORLD else LIKE)
    path = paths.hparams_dir() / flags.alg_name / f"{like}.json"
    made.from_json(path)
    return made, json.loads(path.read_text(encoding="utf-8"))


def adapted(like: dict[str, object], names: dict[str, str], layers: Sequence[int], depth: int) -> dict[str, object]:
    """The same hparams for another model of `depth` layers.

    A method that edits one layer gets the last of `layers`, one that edits more than any trace suggests gets them all;
    the loss of the target optimisation is read from the model's last layer.
    """
    values = like | {key: name for key, name in names.items() if key in like}
    if len(like["layers"]) > how_many_layers(depth=1000):
        values["layers"] = list(range(depth))
    else:
        values["layers"] = list(layers) if len(like["layers"]) > 1 else list(layers)[-1:]
    if "v_loss_layer" in values:
        values["v_loss_layer"] = depth - 1
    return values


def _records(flags: argparse.Namespace) -> tuple[list[dsets.Record], str]:
    """The facts to trace; none, and why, where no facts were named and the usual ones cannot be had."""
    try:
        return dsets.load(flags.facts or "mcf", flags.data_dir, world=flags.model_name == modeling.WORLD).records, ""
    except UserError as error:
        if flags.facts:
            raise
        return [], f"no facts to trace: {error}"


def _layers(
    flags: argparse.Namespace,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[dsets.Record],
) -> tuple[list[int], str]:
    """The layers, and where they come from. What keeps a trace from being made is said on stderr."""
    settings = TraceSettings(
        window=default_window(model),
        seed=flags.seed,
        batch_tokens=flags.batch_tokens or modeling.default_batch_tokens(model),
    )
    drawn = random.Random(flags.seed).sample(records, min(TRIED, len(records)))
    progress = not flags.quiet
    facts, tried = known_facts(model, tokenizer, drawn, TRACED, batch_tokens=settings.batch_tokens, progress=progress)
    if len(facts) < FEWEST:
        return _usual(model, f"the model knows {len(facts)} of {tried} facts, a causal trace needs {FEWEST}")
    found = trace(model, facts, [MLP], settings, positions=lambda fact: [fact.last], progress=progress)
    layers, _ = suggested_layers({MLP: mean_effects(found, MLP)})
    return layers, f"causal trace of {len(facts)} known facts: largest effect of the MLPs at the subject's last token"


def _usual(model: PreTrainedModel, reason: str) -> tuple[list[int], str]:
    depth, last = modeling.layer_count(model), modeling.usual_target_layer(model)
    print(f"{reason}; the layers are the usual share of the depth instead", file=sys.stderr)
    return list(range(max(0, last + 1 - how_many_layers(depth)), last + 1)), "the usual share of the depth, no trace"


if __name__ == "__main__":
    cli(main)
