"""NPO (Zhang et al. 2024): negative preference optimisation, with a gradient-difference retain term."""

from baselines.npo.apply import apply_to_model
from baselines.npo.hparams import HParams

__all__ = ["HParams", "apply_to_model"]
