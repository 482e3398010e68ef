"""FT: fine-tuning of one module on the neutral target (the baseline of the ROME and MEMIT papers)."""

from baselines.ft.edit import edit
from baselines.ft.hparams import HParams
from util.editing.method import public

apply_to_model = public(edit)

__all__ = ["HParams", "apply_to_model", "edit"]
