"""ZeroUnlearn: remap facts to a neutral state, orthogonal to the representation that carried the answer."""

from util.editing.method import public
from zerounlearn.edit import edit
from zerounlearn.hparams import HParams
from zerounlearn.unlearning import Answer, Unlearned, unlearn

apply_to_model = public(edit)

__all__ = ["Answer", "HParams", "Unlearned", "apply_to_model", "edit", "unlearn"]
