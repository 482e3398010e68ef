"""ZeroUnlearn-GD: the same aim by gradient descent in the null space of what the corpus uses, for many facts."""

from zerounlearn.gd.apply import apply_to_model
from zerounlearn.gd.hparams import HParams

__all__ = ["HParams", "apply_to_model"]
