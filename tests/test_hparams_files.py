"""Every committed hparams file is loaded by its method's class, and every method has the published models' files."""

import json

import pytest

from baselines.registry import METHODS, method
from util.hparams import MomentHParams
from util.paths import root

FOLDER = root() / "hparams"
FILES = sorted(FOLDER.glob("*/*.json"))
MODELS = ["Llama-3.1-8B-Instruct", "Llama-3.2-3B-Instruct", "Qwen3-4B", "world"]
OURS = {"target", "invented_subjects", "target_scale", "key_contexts"}
LAST_LAYERS = {"Llama-3.1-8B-Instruct": 21, "Llama-3.2-3B-Instruct": 18, "Qwen3-4B": 11}
LAYER_COUNTS = {"Llama-3.1-8B-Instruct": 32, "Llama-3.2-3B-Instruct": 28, "Qwen3-4B": 36}


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.stem}" for path in FILES])
def test_it_loads_and_names_every_key(path):
    """But for keys that say what no published file says; their defaults are the published form."""
    made = method(path.parent.name).HParams
    made.from_json(path)
    assert made.model_fields.keys() - json.loads(path.read_text(encoding="utf-8")).keys() <= OURS


@pytest.mark.parametrize("name", [name for name in METHODS if "layers" in method(name).HParams.model_fields])
@pytest.mark.parametrize("model", MODELS)
def test_every_method_has_a_file_for_every_model(name, model):
    assert (FOLDER / name / f"{model}.json") in FILES


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.stem}" for path in FILES])
def test_published_models_have_published_settings(path):
    hparams = method(path.parent.name).HParams.from_json(path)
    if path.stem not in LAST_LAYERS or not hasattr(hparams, "layers"):
        return
    assert max(hparams.layers) < LAYER_COUNTS[path.stem]
    assert LAST_LAYERS[path.stem] in hparams.layers
    if isinstance(hparams, MomentHParams):
        assert hparams.layers[-1] == LAST_LAYERS[path.stem]
        assert (hparams.v_lr, hparams.v_num_grad_steps, hparams.kl_factor) == (0.1, 25, 0.0625)
        assert (hparams.clamp_norm_factor, hparams.v_weight_decay) == (0.75, 0.5)
        assert (hparams.mom2_n_samples, hparams.mom2_dtype) == (100000, "float32")


def test_no_folder_without_a_method():
    assert {path.parent.name for path in FILES} <= set(METHODS)
