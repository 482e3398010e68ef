"""Hyperparameters of ZeroUnlearn-GD."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from util.hparams import MomentHParams, NonNegative


class HParams(MomentHParams):
    """nullspace_threshold: eigenvalues of C up to it count as unused by the corpus. nullspace_relative: whether the
    threshold is a share of C's largest eigenvalue (published: false).

    sensitive_weight, target_weight, regularization_lam: weights of the three terms of `zerounlearn.gd.solve.Problem`
    (fixed in the published code: 1, 100, 0.1; its corpus and forget weights do not enter the objective and are left
    out). solver: ``adam``, the published path of gd_steps steps at gd_lr, or ``exact``, the minimiser.
    """

    nullspace_threshold: PositiveFloat
    nullspace_relative: bool
    sensitive_weight: NonNegative
    target_weight: NonNegative
    regularization_lam: PositiveFloat
    solver: Literal["adam", "exact"]
    gd_lr: PositiveFloat
    gd_steps: PositiveInt
