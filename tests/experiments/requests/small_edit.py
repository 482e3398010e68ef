"""A made-up change of low rank in one weight of a model, and a patch of it."""

import hashlib
from pathlib import Path

import torch

from baselines.memit import HParams
from experiments.requests.patches import Patch, make_patch
from tests.tiny import MODULE_NAMES, REQUESTS, TARGET_SETTINGS
from util.modeling import module_names
from util.weights import WeightEdits, read_weight, weights_hash

HPARAMS = HParams(**TARGET_SETTINGS | MODULE_NAMES["llama"] | {"mom2_update_weight": 15000})


def edit(model, rank: int = 3, seed: int = 0, layers=(1,), scale: float = 1.0, size: float = 0.02) -> WeightEdits:
    """Change the down-projections of some layers to scale · W + a matrix of that rank, in place."""
    generator, edits = torch.Generator().manual_seed(seed), WeightEdits()
    for layer in layers:
        name = module_names(model)["rewrite_module_tmp"].format(layer)
        W = read_weight(model, name).double()
        left = torch.randn(len(W), rank, generator=generator, dtype=torch.float64)
        right = torch.randn(rank, W.shape[1], generator=generator, dtype=torch.float64)
        edits.write(model, name, scale * W + size * left @ right)
    return edits


def patch_of(model, **options) -> Patch:
    """A patch of such a change, the model as before."""
    base = weights_hash(model)
    edits = edit(model, **options)
    about = {"model_name": "world", "alg_name": "MEMIT", "hparams": HPARAMS, "facts": REQUESTS}
    patch = make_patch(model, edits, base_hash=base, **about)
    edits.undo(model)
    return patch


def write_patch(path: Path, model, _tokenizer=None, **options) -> None:
    """The same as a file."""
    patch_of(model, **options).write(path)


def weights_in(folder: Path) -> str:
    """sha256 of the weights that a model's folder holds; it must be whole."""
    assert (folder / "config.json").is_file() and (folder / "tokenizer.json").is_file()
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
