"""AlphaEdit (Fang et al. 2025): MEMIT with the update confined to the null space of what the corpus uses."""

from baselines.alphaedit.edit import edit
from baselines.alphaedit.hparams import HParams
from util.editing.method import public

apply_to_model = public(edit)

__all__ = ["HParams", "apply_to_model", "edit"]
