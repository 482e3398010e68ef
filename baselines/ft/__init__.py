"""FT: fine-tuning of one module on the neutral target (the baseline of the ROME and MEMIT papers)."""

from baselines.ft.apply import apply_to_model
from baselines.ft.hparams import HParams

__all__ = ["HParams", "apply_to_model"]
