"""What the commands of patch.py do; each yields the lines that it prints."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from experiments.requests.patch_composing import base_values, compared, composed
from experiments.requests.patch_export import adapted, write_adapter
from experiments.requests.patches import Patch
from util import modeling
from util.errors import UserError
from util.runs import check_file, check_writable
from util.tensor_files import save_model


def apply(flags: argparse.Namespace) -> Iterator[str]:
    """Base → edited, saved."""
    patch, model, tokenizer, folder = _opened(flags)
    patch.apply(model)
    save_model(model, tokenizer, folder)
    yield f"{folder}: {flags.model_name} with {len(patch.changes)} weight(s) changed (hash {patch.origin.edited[:12]}…)"


def revert(flags: argparse.Namespace) -> Iterator[str]:
    """Edited → base, saved."""
    patch, model, tokenizer, folder = _opened(flags)
    patch.revert(model)
    save_model(model, tokenizer, folder)
    yield f"{folder}: {patch.origin.model_name} as it was (hash {patch.origin.base[:12]}…)"


def verify(flags: argparse.Namespace) -> Iterator[str]:
    """What the patch is, which side the model is on, and whether the patch leads to the other side and back."""
    patch = Patch.read(flags.patch)
    yield from described(patch)
    model, _ = _load(flags, patch)
    side = patch.side(model)
    if side == "edited":
        patch.revert(model)
        patch.apply(model)
        yield f"{flags.model_name} is what the patch makes of its base; revert and apply lead back to the bit"
        return
    patch.apply(model)  # refuses what is neither
    patch.revert(model)
    yield f"{flags.model_name} is the patch's base; apply and revert lead back to the bit"


def compose(flags: argparse.Namespace) -> Iterator[str]:
    """The sum of two patches, and whether they get in each other's way."""
    first, second = (Patch.read(path) for path in flags.patches)
    check_file(flags.output, "--output")
    _check_new(flags.output, "--output")
    flags.model_name = flags.model_name or first.origin.model_name
    model, _ = _load(flags, first)
    base = base_values(model, (first, second))
    conflict = compared(base, (first, second))
    both = composed(model, base, (first, second))
    both.write(flags.output)
    for name, overlap in conflict.overlaps.items():
        yield (
            f"{name}: closest input directions at cosine {overlap.closest:.2f}, {100 * overlap.shared:.0f} % of a "
            "change read what the other one reads"
        )
    yield f"{conflict.word}: {flags.output}"


def export(flags: argparse.Namespace) -> Iterator[str]:
    """The patch as a LoRA adapter."""
    if flags.rank is not None and flags.rank < 1:
        raise UserError(f"--rank {flags.rank}: give at least 1, or leave it out")
    patch = Patch.read(flags.patch)
    _check_new(flags.peft, "--peft")
    model, _ = _load(flags, patch)
    modules = adapted(model, patch, flags.rank)
    write_adapter(model, modules, flags.model_name, flags.peft)
    for name, one in modules.items():
        yield f"{name}: rank {one.rank}, relative error {one.error:.1e}"
    yield f"LoRA adapter: {flags.peft}"


def described(patch: Patch) -> Iterator[str]:
    """Lines that say what a patch is; no fact among them."""
    origin = patch.origin
    facts = sum(len(part["facts"]) for part in origin.parts) if origin.parts else len(origin.facts)
    yield f"{origin.alg_name}, {facts} fact(s), from {origin.model_name} (hash {origin.base[:12]}…), {patch.size} bytes"
    for name, change in patch.changes.items():
        how = f"rank {change.factors.rank}" if change.factors else "all of it: the change has no low rank"
        yield f"{name}: {how}, {change.size} bytes"


def _opened(flags: argparse.Namespace) -> tuple[Patch, PreTrainedModel, PreTrainedTokenizerBase, Path]:
    """Everything checked that can be before the model is loaded, which takes long."""
    patch = Patch.read(flags.patch)
    _check_new(flags.save_model, "--save_model")
    return patch, *_load(flags, patch), flags.save_model


def _load(flags: argparse.Namespace, patch: Patch) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """On the CPU, in the dtype that the patch's weights have."""
    dtype = str(patch.dtype).removeprefix("torch.")
    if dtype not in modeling.DTYPES:
        raise UserError(f"the patch is of {dtype} weights, which models are not loaded in")
    modeling.find_source(flags.model_name, flags.model_path_dir)
    return modeling.load(flags.model_name, flags.model_path_dir, "cpu", dtype)


def _check_new(path: Path, flag: str) -> None:
    """UserError, before any work is done, for a place that has something or cannot be written."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{flag} {path} exists; name a new one")
    check_writable(path.absolute().parent, flag)
