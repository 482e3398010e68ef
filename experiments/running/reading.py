"""What runs read before the model is loaded: hparams, data sets, corpora. Bad input is told before anything is slow."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dsets
from baselines.registry import method
from dsets import excerpt, hub
from dsets.corpus import Corpus, load_corpus
from experiments.measuring import sampled_corpus
from experiments.running.settings import CommonSettings
from util import modeling, paths
from util.errors import UserError
from util.hparams import HParams, LayerHParams, MomentHParams, available

STANDS_FOR = {"wikimedia/wikipedia:20231101.en": excerpt.NAME}
"""Set of the hub → the corpus that is measured where it cannot be had (docs/real_models.md compares them)."""

log = logging.getLogger("zerounlearn")


def read_hparams(settings: CommonSettings, alg_name: str) -> HParams:
    """The method's hparams, with ``--edit_layer_nums`` applied. A method without parameters needs no file."""
    cls = method(alg_name).HParams
    if not cls.model_fields:
        return cls()
    path = hparams_path(alg_name, settings.model_name, settings.hparams_fname)
    if settings.hparams_fname is None and not path.is_file():
        _check_model(settings, path)
    hparams, wanted = cls.from_json(path), settings.edit_layer_nums
    if wanted is None or not isinstance(hparams, LayerHParams):
        return hparams
    if wanted > len(hparams.layers):
        raise UserError(f"--edit_layer_nums {wanted}: {path} has {len(hparams.layers)} layer(s)")
    return hparams.model_copy(update={"layers": hparams.layers[-wanted:]})


def _check_model(settings: CommonSettings, hparams: Path) -> None:
    """UserError where there is no model of that name either: most likely it is the name that is wrong."""
    modeling.find_source(settings.model_name, settings.model_path_dir)
    if paths.model_dir(settings.model_name, settings.model_path_dir) is None:
        raise UserError(
            f"no model {settings.model_name!r} is here, and hparams file {hparams} does not exist; correct "
            f"--model_name, or name hparams for a model of the hub with --hparams_fname ({available(hparams)})"
        )


def hparams_path(alg_name: str, model_name: str, hparams_fname: str | None) -> Path:
    """``--hparams_fname``: a path, or a file in hparams/<alg_name>/; by default the one named after the model."""
    name = hparams_fname or paths.hparams_name(model_name)
    beside = paths.hparams_dir() / alg_name / name
    return Path(name) if not beside.is_file() and Path(name).is_file() else beside


def read_dataset(settings: CommonSettings, ds_name: str) -> dsets.Dataset:
    """The data set of that name or path; with the embedded model names mean the embedded world's data sets."""
    return dsets.load(ds_name, settings.data_dir, world=settings.world, size_limit=settings.dataset_size_limit)


def read_corpus(hparams: MomentHParams, data_dir: str | None) -> Corpus:
    """The statistics corpus of the hparams; its recipe, where the model is to sample it."""
    if hparams.mom2_dataset == sampled_corpus.NAME:
        return sampled_corpus.recipe(hparams.mom2_n_samples)
    return load_corpus(hparams.mom2_dataset, hparams.mom2_n_samples, data_dir=data_dir)


def at_hand(corpus: Corpus, data_dir: str | None, measured: Callable[[], bool] = lambda: False) -> Corpus:
    """The corpus, or what stands for it where it is a set of the hub that cannot be had; a warning says so.

    What is `measured` on it already, or was fetched, needs no hub. Where nothing stands for it, it is left to complain.
    """
    documents = corpus.documents
    if not isinstance(documents, hub.HubDocuments) or documents.path.exists():
        return corpus
    instead = STANDS_FOR.get(documents.draw.shown)
    if instead is None or measured():
        return corpus
    reason = hub.refusal(documents.draw.repository)
    if reason is None:
        return corpus
    log.warning("corpus %s cannot be had from the hub (%s); %s stands for it", corpus.name, reason, instead)
    return replace(load_corpus(instead, documents.draw.count, data_dir=data_dir), instead_of=corpus.name)
