"""ZeroUnlearn: remap facts to a neutral state, orthogonal to the representation that carried the answer."""

from util.editing.method import public
from zerounlearn.edit import edit
from zerounlearn.hparams import HParams

apply_to_model = public(edit)

__all__ = ["HParams", "apply_to_model", "edit"]
