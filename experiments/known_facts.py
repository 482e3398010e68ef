"""Which facts of a data set a model knows: counts per relation and level, and the facts as a file.

    python experiments/known_facts.py --model_name SmolLM2-135M-Instruct --ds_name real --output known.json

evaluate.py --ds_name known.json draws from them, as evaluate.py --known strict does by itself. What is found out is
kept in <data_dir>/known, under the hashes of model and data, and never asked twice.

The file is in CounterFact's schema, which has no place for multi-hop questions, levels, and neighbours with answers of
their own: these are left out. Facts of zsRE and MQuAKE come back with CounterFact's metric: right is an answer all of
whose tokens are, where theirs is the share of right tokens.
"""

if __name__ == "__main__":
    import _checkout  # noqa: F401

from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.reporting.table import aligned
from experiments.running.script_settings import KnownFactsSettings
from util.runs import check_file, cli, write_json

SHOWN = 50


def main(argv: Sequence[str] | None = None) -> None:
    """Read the data set, then load the model, then ask it."""
    settings = KnownFactsSettings.parse(argv, "known_facts.py", __doc__)
    import dsets
    from experiments.measuring.knowledge import (
        as_counterfact,
        counts,
    )  # these load torch, which --help need not wait for
    from experiments.running.knowing import known_by
    from util import modeling

    if settings.output:
        check_file(Path(settings.output), "--output")
    modeling.resolve_device(settings.device)
    modeling.find_source(settings.model_name, settings.model_path_dir)
    limit, where = settings.dataset_size_limit, settings.data_dir
    dataset = dsets.load(settings.ds_name, where, world=settings.world, size_limit=limit)
    model, tokenizer = modeling.load(settings.model_name, settings.model_path_dir, settings.device, settings.dtype)
    knower = known_by(model, tokenizer, settings)
    verdict = knower.verdict(dataset, settings.known, where, progress=settings.progress)
    print(table(counts(dataset.records, verdict)))
    if settings.output:
        options = {"progress": settings.progress}
        known = knower.chosen(dataset, settings.known, settings.max_per_relation, where, **options).records
        write_json(Path(settings.output), [as_counterfact(record) for record in known])
        print(f"{settings.output}: {len(known)} facts")


def table(found: dict[str, dict[str, int]]) -> str:
    """A row a relation, a column a level, and their sums. SHOWN rows: where no relation is named each prompt is one."""
    levels = list(next(iter(found.values())))
    rows = [[relation, *(str(row[level]) for level in levels)] for relation, row in found.items()]
    rest = [["further relations", *_sums(list(found.values())[SHOWN:], levels)]] if len(found) > SHOWN else []
    return aligned([["relation", *levels], *rows[:SHOWN], *rest, ["all", *_sums(found.values(), levels)]])


def _sums(rows: Iterable[dict[str, int]], levels: Sequence[str]) -> list[str]:
    rows = list(rows)
    return [str(sum(row[level] for row in rows)) for level in levels]


if __name__ == "__main__":
    cli(main)
