"""Write a first hparams file for a new model: module names from the model itself, layers from a causal trace.

    python experiments/suggest_hparams.py --model_name Qwen3-4B --model_path_dir models
    python experiments/suggest_hparams.py --model_name my-model --alg_name MEMIT --facts my_facts.jsonl

Everything else is copied from the file of another model (--like). The result is a start: the strengths (learning rates,
weights of the objective) want to be tried on the new model.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from baselines.registry import method
from experiments.running.script_settings import SuggestSettings
from util import paths
from util.errors import UserError
from util.hparams import LayerHParams
from util.runs import check_file, cli, write_json

LIKE = "Llama-3.1-8B-Instruct"


def main(argv: Sequence[str] | None = None) -> None:
    """Check what can be checked before the model is loaded, then name its modules, choose layers, write the file."""
    settings = SuggestSettings.parse(argv, "suggest_hparams.py", __doc__)
    target = _target(settings)
    made, like = _like(settings)
    import dsets  # these load torch, which --help need not wait for
    from experiments.running.knowing import known_by
    from experiments.tracing import suggesting
    from util import modeling
    from util.editing.layers import check_layers

    modeling.resolve_device(settings.device)
    modeling.find_source(settings.model_name, settings.model_path_dir)
    named = settings.facts or dsets.usual(world=settings.world)
    dataset = dsets.load(named, settings.data_dir, world=settings.world)
    model, tokenizer = modeling.load(settings.model_name, settings.model_path_dir, settings.device, settings.dtype)
    names = modeling.module_names(model)
    layers, reason = known_by(model, tokenizer, settings).layers(
        dataset, settings.seed, settings.data_dir, batch_tokens=settings.batch_tokens, progress=settings.progress
    )
    values = suggesting.adapted(like, names, layers, modeling.layer_count(model))
    check_layers(model, made(**values))
    write_json(target, values)
    print(f"{target}: layers {', '.join(map(str, values['layers']))} ({reason})")


def _target(settings: SuggestSettings) -> Path:
    """The file to write. UserError where it cannot be, or is there already."""
    default = paths.hparams_dir() / settings.alg_name / paths.hparams_name(settings.model_name)
    target = Path(settings.output) if settings.output else default
    check_file(target, "--output")
    if target.exists() and not settings.force:
        raise UserError(f"{target} exists; give --force to overwrite it, or another --output")
    return target


def _like(settings: SuggestSettings) -> tuple[type[LayerHParams], dict[str, Any]]:
    """The method's hparams class, and the values to start from. UserError for a method that edits no layers."""
    made = method(settings.alg_name).HParams
    if not issubclass(made, LayerHParams):
        raise UserError(f"--alg_name {settings.alg_name} edits no layers and needs no hparams file")
    like = settings.like or (settings.model_name if settings.world else LIKE)
    path = paths.hparams_dir() / settings.alg_name / f"{like}.json"
    made.from_json(path)
    return made, json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    cli(main)
