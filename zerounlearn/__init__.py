"""ZeroUnlearn: remap facts to a neutral state and make the new representation orthogonal to the one that carried the answer."""

from zerounlearn.apply import apply_to_model
from zerounlearn.hparams import HParams

__all__ = ["HParams", "apply_to_model"]
