"""BASE: the unedited model, so that every table has the row that the others are read against."""

from baselines.base.edit import edit
from baselines.base.hparams import HParams
from util.editing.method import public

apply_to_model = public(edit)

__all__ = ["HParams", "apply_to_model", "edit"]
