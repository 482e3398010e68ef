"""A method's hparams for a model: the file that is called like it, or made anew as suggest_hparams.py makes them."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baselines.registry import method
from dsets import Record
from dsets.corpus import Corpus
from experiments.measuring import sampled_corpus
from experiments.requests.unlearning.unlearn_settings import UnlearnSettings
from experiments.running.reading import at_hand, hparams_path, read_corpus
from experiments.tracing import suggesting
from experiments.tracing.traced_facts import known_facts
from util import modeling, paths
from util.errors import UserError
from util.hparams import HParams, LayerHParams, MomentHParams

LIKE = "Llama-3.1-8B-Instruct"
SAMPLED = 200
"""Documents that the model samples where no text can be had."""

log = logging.getLogger("zerounlearn")


@dataclass(frozen=True)
class Settled:
    """hparams, their corpus where they name one, and where they come from."""

    hparams: HParams
    corpus: Corpus | None
    source: str


def from_file(settings: UnlearnSettings) -> Settled | None:
    """The hparams of the model's own file, or of the one that was named; None where there is none to be named after.

    Raises UserError for a method that does not exist, and for a broken or missing named file.
    """
    cls = method(settings.alg_name).HParams
    if not cls.model_fields:
        return Settled(cls(), None, "the method has none")
    path = hparams_path(settings.alg_name, settings.model_name, settings.hparams_fname)
    if settings.hparams_fname is None and not path.is_file():
        return None
    hparams = cls.from_json(path)
    return Settled(hparams, _corpus(hparams, settings.data_dir), str(path))


def suggested(
    settings: UnlearnSettings,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    records: Sequence[Record],
) -> Settled:
    """Module names from the model, layers from a causal trace of facts that it knows, the rest from LIKE's file.

    Raises UserError for a method without LIKE's file.
    """
    cls = method(settings.alg_name).HParams
    path = paths.hparams_dir() / settings.alg_name / f"{LIKE}.json"
    if not (issubclass(cls, LayerHParams) and path.is_file()):
        raise UserError(
            f"hparams of {settings.alg_name} for {settings.model_name} cannot be made from another model's; "
            "name a file with --hparams_fname"
        )
    like = json.loads(path.read_text(encoding="utf-8"))
    drawn = suggesting.drawn(records, settings.seed)
    facts, tried = known_facts(
        model,
        tokenizer,
        drawn,
        suggesting.TRACED,
        batch_tokens=settings.batch_tokens or modeling.default_reading_tokens(model),
        progress=settings.progress,
    )
    layers, reason = suggesting.traced_layers(
        model,
        tokenizer,
        drawn,
        facts,
        tried,
        seed=settings.seed,
        batch_tokens=settings.batch_tokens,
        progress=settings.progress,
    )
    values = suggesting.adapted(like, modeling.module_names(model), layers, modeling.layer_count(model))
    hparams = cls(**values)
    source = f"made from those of {LIKE}; layers {', '.join(map(str, layers))}: {reason}"
    log.warning("no hparams file of %s is called like the model; they are %s", settings.alg_name, source)
    return Settled(hparams, _corpus(hparams, settings.data_dir), source)


def with_corpus(settings: UnlearnSettings, settled: Settled, measured: Callable[[], bool]) -> Settled:
    """With what stands for a corpus that cannot be had (`at_hand`), or else with documents that the model samples.

    measured: whether the statistics are kept already, and no text is needed.
    """
    if settled.corpus is None:
        return settled
    try:
        return replace(settled, corpus=at_hand(settled.corpus, settings.data_dir, measured))
    except UserError as error:
        log.warning("%s; %d documents that the model samples stand for it", error, SAMPLED)
        return replace(settled, corpus=replace(sampled_corpus.recipe(SAMPLED), instead_of=settled.corpus.name))


def _corpus(hparams: HParams, data_dir: str | None) -> Corpus | None:
    return read_corpus(hparams, data_dir) if isinstance(hparams, MomentHParams) else None
