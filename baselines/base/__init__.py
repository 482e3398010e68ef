"""BASE: the unedited model, so that every table has the row that the others are read against."""

from baselines.base.apply import apply_to_model
from baselines.base.hparams import HParams

__all__ = ["HParams", "apply_to_model"]
