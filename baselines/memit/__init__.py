"""MEMIT (Meng et al. 2023): many facts at once, an additive ridge-regression update spread over layers."""

from baselines.memit.apply import apply_to_model
from baselines.memit.hparams import HParams

__all__ = ["HParams", "apply_to_model"]
