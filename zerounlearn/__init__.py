"""ZeroUnlearn: remap facts to a neutral state, orthogonal to the representation that carried the answer."""

from zerounlearn.apply import apply_to_model
from zerounlearn.hparams import HParams

__all__ = ["HParams", "apply_to_model"]
