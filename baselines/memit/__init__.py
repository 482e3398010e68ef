"""MEMIT (Meng et al. 2023): many facts at once, an additive ridge-regression update spread over layers."""

from baselines.memit.edit import edit
from baselines.memit.hparams import HParams
from util.editing.method import public

apply_to_model = public(edit)

__all__ = ["HParams", "apply_to_model", "edit"]
