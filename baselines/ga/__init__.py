"""GA: gradient ascent on the true answers (Jang et al. 2023, Knowledge Unlearning)."""

from baselines.ga.apply import apply_to_model
from baselines.ga.hparams import HParams

__all__ = ["HParams", "apply_to_model"]
