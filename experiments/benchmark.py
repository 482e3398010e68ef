"""How much faster the machinery is than the plain form, as ratios measured in one run on one machine.

    python experiments/benchmark.py                        # the embedded model, 50 facts
    python experiments/benchmark.py --work targets moments --facts 20

The plain forms: targets fact by fact with full forward passes and logits everywhere; statistics in two passes per
layer, a document at a time; the direct d_out × d_out solve. Both sides of a ratio run the same facts, hparams and
threads, and the difference of their results is printed beside their times. Targets without a search are timed beside
the search that they stand for.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

import dsets
from experiments.running.script_settings import BenchmarkSettings
from util.runs import check_file, cli, write_json


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the chosen work and print one line each."""
    settings = BenchmarkSettings.parse(argv, "benchmark.py", __doc__)
    if settings.json_file:
        check_file(Path(settings.json_file), "--json")
    import torch  # these are slow to load, and --help need not wait for them

    from dsets.corpus import load_corpus
    from experiments.benchmarking import comparisons
    from experiments.running.reading import hparams_path
    from util import modeling
    from util.editing.contexts import generate
    from util.editing.layers import check_layers
    from zerounlearn import HParams

    name, place = settings.model_name, settings.model_path_dir
    modeling.resolve_device(settings.device)
    modeling.find_source(name, place)
    hparams = HParams.from_json(hparams_path("ZeroUnlearn", name, settings.hparams_fname))
    records = dsets.load(settings.ds_name, settings.data_dir, world=settings.world).records
    model, tokenizer = modeling.load(name, place, settings.device, settings.dtype)
    check_layers(model, hparams)
    bench = comparisons.Bench(
        model,
        tokenizer,
        hparams,
        templates=generate(model, tokenizer),
        requests=[record.request() for record in records],
        facts=settings.facts,
        corpus=load_corpus(hparams.mom2_dataset, settings.documents, data_dir=settings.data_dir),
        batch_tokens=settings.batch_tokens,
    )
    print(f"{name} on {model.device}, {settings.dtype}, {torch.get_num_threads()} threads", flush=True)
    rows = {work: getattr(comparisons, f"bench_{work}")(bench) for work in settings.work}
    if settings.json_file:
        write_json(Path(settings.json_file), rows)


if __name__ == "__main__":
    cli(main)
