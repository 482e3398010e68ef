"""ROME (Meng et al. 2022): one rank-one update per fact, fact after fact."""

from baselines.rome.edit import edit
from baselines.rome.hparams import HParams
from util.editing.method import public

apply_to_model = public(edit)

__all__ = ["HParams", "apply_to_model", "edit"]
