"""Hyperparameters of ZeroUnlearn-Local."""

from typing import Literal

from pydantic import PositiveFloat

from util.hparams import InvertedMomentHParams, NonNegative, NonNegativeInt


class HParams(InvertedMomentHParams):
    """mom2_update_weight: a, weight of the corpus (MEMIT's name for it). protect_weight: κ, weight of the protected
    keys, whatever their number.

    invented_per_template: protected subjects that do not exist, in every prompt form of the requests.
    neighbors_per_template: protected subjects that exist, in every prompt form, of those that the caller names.
    protect_retain: whether the retain requests' keys are protected too. own_direction: what the targets are made
    orthogonal to, see `zerounlearn.local.solve.without_own_direction`: ``none``, ``own``, or ``centred`` (the own
    direction less the protected values' mean).
    """

    mom2_update_weight: PositiveFloat
    protect_weight: NonNegative
    invented_per_template: NonNegativeInt
    neighbors_per_template: NonNegativeInt
    protect_retain: bool
    own_direction: Literal["none", "own", "centred"]
