"""Hyperparameters of FT."""

from util.hparams import NonNegative, TuningHParams


class HParams(TuningHParams):
    """stop_below: mean NLL of the target under which training ends (published code: 0.01, fixed)."""

    stop_below: NonNegative
