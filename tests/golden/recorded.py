"""The recorded run of the published implementation that may lie beside the repository; tests skip where it does not."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from util.paths import root
from util.request import Request

FOLDER = root().parent / "shared" / "golden"

needs_recording = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recorded run beside the repository")


def read(name: str) -> dict:
    """A recorded JSON file."""
    return json.loads((FOLDER / name).read_text())


def arrays(name: str) -> dict[str, torch.Tensor]:
    """The arrays of a recorded npz file."""
    with np.load(FOLDER / name, allow_pickle=False) as file:
        return {key: torch.tensor(file[key]) for key in file.files}


def model_and_tokenizer():
    """The recorded tiny Llama."""
    folder = FOLDER / "model"
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(
        folder
    )


def requests() -> list[Request]:
    """The recorded requests, with their counterfactual targets."""
    return [
        Request(
            case_id=record["case_id"],
            prompt=record["prompt"],
            subject=record["subject"],
            target_true=record["target_true"]["str"],
            target_new=record["target_new"]["str"],
        )
        for record in read("requests_cf.json")
    ]


def weight_errors(model, before: dict[str, torch.Tensor], recorded: dict[str, torch.Tensor]) -> dict[str, float]:
    """Relative error of every recorded weight's change."""
    changed = {key.removeprefix("weight:"): value for key, value in recorded.items() if key.startswith("weight:")}
    return {
        name: float((model.get_parameter(name).detach() - value).norm() / (value - before[name]).norm())
        for name, value in changed.items()
    }
