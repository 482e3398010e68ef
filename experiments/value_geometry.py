"""How alike the values of different facts are, layer by layer, and what a projector takes from those to be kept.

    python experiments/value_geometry.py                                  # the embedded model
    python experiments/value_geometry.py --model_name SmolLM2-135M-Instruct --ds_name known.json --output values.json

ZeroUnlearn removes the span of the forgotten facts' sensitive values from a module's output, for every input. What
other facts' values have inside that span goes with it: docs/why_published_fails.md.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

import time
from collections.abc import Sequence
from pathlib import Path

from experiments.running.script_settings import ValueGeometrySettings
from util.runs import check_file, check_matplotlib, cli, write_json


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the facts, measure every layer, print the table."""
    settings = ValueGeometrySettings.parse(argv, "value_geometry.py", __doc__)
    _check(settings)
    import dsets  # these load torch, which --help need not wait for
    from experiments.geometry.curves import draw_curves
    from experiments.geometry.measuring_values import LEGEND, Drawn, measure_layers, rows
    from experiments.reporting.table import aligned
    from experiments.running.reading import hparams_path
    from util import modeling, paths
    from util.editing.setting import Setting
    from util.editing.target_cache import TargetCache
    from util.weights import weights_hash
    from zerounlearn import HParams

    start, name, place = time.perf_counter(), settings.model_name, settings.model_path_dir
    modeling.resolve_device(settings.device)
    modeling.find_source(name, place)
    hparams = HParams.from_json(hparams_path("ZeroUnlearn", name, settings.hparams_fname))
    dataset = dsets.load(settings.ds_name, settings.data_dir, world=settings.world)
    drawn = Drawn.of(dataset.records, max(settings.counts), settings.others, settings.seed)
    model, tokenizer = modeling.load(name, place, settings.device, settings.dtype)
    setting = Setting(
        model=model,
        tokenizer=tokenizer,
        requests=drawn.forget,
        seed=settings.seed,
        batch_tokens=settings.batch_tokens,
        progress=settings.progress,
        target_cache=TargetCache(paths.stats_dir() / "targets"),
    )
    layers = range(modeling.layer_count(model)) if settings.layers is None else settings.layers
    search = settings.sensitive == "search"
    found = measure_layers(setting, hparams, drawn, layers, settings.counts, search=search, answers=settings.answers)
    report = {
        "model_name": name,
        "weights": weights_hash(model),
        "ds_name": settings.ds_name,
        "data": dataset.digest,
        "settings": settings.model_dump(include={"counts", "others", "sensitive", "seed", "dtype"}),
        "facts": {"forget": len(drawn.forget), "others": len(drawn.others), "invented": len(drawn.invented)},
        "layers": found,
        "seconds": time.perf_counter() - start,
    }
    if not settings.quiet:
        print(f"{aligned(rows(found))}\n{LEGEND}, {report['seconds']:.0f} s")
    if settings.output:
        write_json(Path(settings.output), report)
        print(f"numbers: {settings.output}")
    if settings.plot:
        draw_curves(report, Path(settings.plot))
        print(f"figure: {settings.plot}")


def _check(settings: ValueGeometrySettings) -> None:
    """UserError, before any work is done, for what cannot be written or drawn."""
    for flag in ("output", "plot"):
        path = getattr(settings, flag)
        if path:
            check_file(Path(path), f"--{flag}")
    if settings.plot:
        check_matplotlib("the figure", "leave --plot out")


if __name__ == "__main__":
    cli(main)
