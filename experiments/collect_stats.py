"""Measure or import the second moments of a method's edited modules beforehand, alone or by several processes.

    python experiments/collect_stats.py --model_name Llama-3.1-8B-Instruct --model_path_dir models
    for i in 0 1 2 3; do python experiments/collect_stats.py --shards 4 --shard $i --device cuda:$i ... & done; wait
    python experiments/collect_stats.py --shards 4 --merge ...
    python experiments/collect_stats.py --layers 4 --import model.layers.4.mlp.down_proj_float32_mom2_100000.npz ...

evaluate.py finds the files: they are named by the weights (and so the dtype), the module, the corpus and the settings,
and lie in data/stats or where ZEROUNLEARN_STATS says. Interrupted, the same command goes on where it stopped. The .npz
files of ROME, MEMIT, AlphaEdit and EasyEdit can take a measurement's place; a few documents are measured to compare.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

from collections.abc import Sequence

from experiments.running.script_settings import CollectSettings
from util.runs import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Measure (a share), merge the shares, or import; say where the files lie."""
    settings = CollectSettings.parse(argv, "collect_stats.py", __doc__)
    from experiments.running import collecting, noted_hashes  # these load torch, which --help need not wait for
    from experiments.running.reading import at_hand, read_corpus
    from util import modeling
    from util.editing.shards import merge

    hparams = collecting.moment_hparams(settings)
    modeling.resolve_device(settings.device)
    modeling.find_source(settings.model_name, settings.model_path_dir)
    corpus = read_corpus(hparams, settings.data_dir)
    if settings.imported is None:  # moments that were published are of the corpus itself
        corpus = at_hand(corpus, settings.data_dir)
    if settings.shard is not None:
        share = collecting.unmeasured(settings, hparams, corpus)
        share.sums()
        noted_hashes.note_hashes(settings, share.cache)
        collecting.report(share, f"share {settings.shard} of {settings.shards}, for --merge to join")
        return
    if settings.merge and settings.shards is not None:
        known = noted_hashes.noted_shares(settings, hparams, corpus)
        moments = known or collecting.unmeasured(settings, hparams, corpus)
        merge(moments, settings.shards)
        noted_hashes.drop_note(settings)
    else:
        moments = collecting.unmeasured(settings, hparams, corpus)
        if settings.imported is not None:
            collecting.take_published(settings.imported, moments)
        else:
            dict(moments)
    given = f" with --mom2_tolerance {settings.tolerance}" if settings.tolerance else ""
    collecting.report(moments, f"evaluate.py{given} finds it there")


if __name__ == "__main__":
    cli(main)
