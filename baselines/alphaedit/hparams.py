"""Hyperparameters of AlphaEdit."""

from pydantic import PositiveFloat

from util.hparams import MomentHParams


class HParams(MomentHParams):
    """Published keys, and one of ours.

    nullspace_threshold: eigenvalues of C up to it count as unused by the corpus. nullspace_relative: whether the
    threshold is a share of C's largest eigenvalue (published: false, the eigenvalue itself). L2: the ridge.
    """

    nullspace_threshold: PositiveFloat
    nullspace_relative: bool
    L2: PositiveFloat
