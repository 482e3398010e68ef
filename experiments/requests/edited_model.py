"""The model after an edit, by whatever names it: weights, a patch, or the folder of a run."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel

from dsets import Record
from experiments.requests.patches import Patch
from experiments.running.remaking import is_run, remake
from util import modeling
from util.choices import WORLD
from util.errors import UserError
from util.weights import model_hash

PATCH = ".safetensors"


@dataclass(frozen=True)
class Edited:
    """The model, and of a run also what it was to forget, the rest of its data set, and what identifies both."""

    model: PreTrainedModel
    facts: Sequence[Record] = ()
    context: Sequence[Record] = ()
    digest: str | None = None


def check(name: str, model_path_dir: str | None) -> bool:
    """Whether it is the folder of a run, which says itself what was forgotten. UserError for what is not there.

    Nothing is loaded yet but the header of a patch.
    """
    path = Path(name)
    if path.suffix == PATCH and name != WORLD:
        if not path.is_file():
            raise UserError(f"patch {path} does not exist; name a file that unlearn.py --save_patch has written")
        Patch.read(path)
        return False
    if is_run(path):
        return True
    if (path / "summary.json").is_file():
        raise UserError(
            f"{path} holds no weights and not all that a run leaves; make the model with evaluate.py --save_model, or "
            "a patch with unlearn.py --save_patch"
        )
    modeling.find_source(name, model_path_dir)
    return False


def load(name: str, before: PreTrainedModel, model_path_dir: str | None, device: str, dtype: str, **where) -> Edited:
    """The model of that name. A patch is put on a copy of `before`, a run is made again on one.

    where: further settings of this machine for a run (see `remake`). Raises UserError for a patch or run of another
    model than `before`.
    """
    path = Path(name)
    if path.suffix == PATCH:
        model = copy.deepcopy(before)
        Patch.read(path).apply(model)
        return Edited(model)
    if is_run(path):
        made = remake(path, model_hash(before), model_path_dir=model_path_dir, device=device, **where)
        return Edited(made.model, made.facts, made.context, made.digest)
    return Edited(modeling.load(name, model_path_dir, device, dtype)[0])
