"""Hyperparameters of ROME."""

from pydantic import Field

from util.hparams import InvertedMomentHParams, NonNegativeInt


class HParams(InvertedMomentHParams):
    """mom2_adjustment: whether the update's direction is C⁻¹ k̄ rather than k̄.

    layers: exactly one. v_loss_layer is checked against the model and has no other effect: ROME reads the final logits.
    """

    layers: list[NonNegativeInt] = Field(min_length=1, max_length=1)
    mom2_adjustment: bool
