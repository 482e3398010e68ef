"""ZeroUnlearn-Local: remap facts to a neutral state where they are asked for, and protect what stands beside them."""

from util.editing.method import public
from zerounlearn.local.edit import edit
from zerounlearn.local.hparams import HParams

apply_to_model = public(edit)

__all__ = ["HParams", "apply_to_model", "edit"]
