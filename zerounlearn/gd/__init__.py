"""ZeroUnlearn-GD: the same aim by gradient descent in the null space of what the corpus uses, for many facts."""

from util.editing.method import public
from zerounlearn.gd.edit import edit
from zerounlearn.gd.hparams import HParams

apply_to_model = public(edit)

__all__ = ["HParams", "apply_to_model", "edit"]
