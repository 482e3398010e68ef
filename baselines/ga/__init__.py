"""GA: gradient ascent on the true answers (Jang et al. 2023, Knowledge Unlearning)."""

from baselines.ga.edit import edit
from baselines.ga.hparams import HParams
from util.editing.method import public

apply_to_model = public(edit)

__all__ = ["HParams", "apply_to_model", "edit"]
