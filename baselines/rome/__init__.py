"""ROME (Meng et al. 2022): one rank-one update per fact, fact after fact."""

from baselines.rome.apply import apply_to_model
from baselines.rome.hparams import HParams

__all__ = ["HParams", "apply_to_model"]
