"""Hyperparameters of NPO."""

from pydantic import PositiveFloat

from util.hparams import NonNegative, TuningHParams


class HParams(TuningHParams):
    """beta: β, how soon a forgotten answer stops pushing (towards 0: gradient ascent). retain_weight: of the retain
    term.

    The weights that learn are those of `rewrite_module_tmp` in `layers`; the published runs train every weight of the
    model, to which all layers' down-projections come closest among the modules that are edited here.
    """

    beta: PositiveFloat
    retain_weight: NonNegative
