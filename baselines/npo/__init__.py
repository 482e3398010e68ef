"""NPO (Zhang et al. 2024): negative preference optimisation, with a gradient-difference retain term."""

from baselines.npo.edit import edit
from baselines.npo.hparams import HParams
from util.editing.method import public

apply_to_model = public(edit)

__all__ = ["HParams", "apply_to_model", "edit"]
