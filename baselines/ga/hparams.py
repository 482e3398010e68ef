"""Hyperparameters of GA."""

from pydantic import PositiveFloat

from util.hparams import TuningHParams


class HParams(TuningHParams):
    """stop_above: mean NLL of the true answers over which training ends; null climbs for all num_steps (published)."""

    stop_above: PositiveFloat | None
