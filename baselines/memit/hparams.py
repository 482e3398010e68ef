"""Hyperparameters of MEMIT."""

from pydantic import PositiveFloat

from util.hparams import InvertedMomentHParams


class HParams(InvertedMomentHParams):
    """mom2_update_weight: a, the weight of the corpus against the facts."""

    mom2_update_weight: PositiveFloat
