"""AlphaEdit (Fang et al. 2025): MEMIT with the update confined to the null space of what the corpus uses."""

from baselines.alphaedit.apply import apply_to_model
from baselines.alphaedit.hparams import HParams

__all__ = ["HParams", "apply_to_model"]
