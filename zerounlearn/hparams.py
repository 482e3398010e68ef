"""Hyperparameters of ZeroUnlearn."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from util.hparams import MomentHParams, NonNegative


class HParams(MomentHParams):
    """Published keys, and three of ours.

    wiki_KKT_lam: a, weight of the corpus. forget_KKT_lam: b, weight of the facts. regularization_lam: λ, the ridge.
    (The published files repeat a and b as ``*_VKT_lam``, always equal: one key each here.)
    epsilon: share of the sensitive directions that is left (published code: 0.01, fixed). projector: see
    `zerounlearn.solve.project`. solver: ``woodbury``, the cheap N × N form, or ``direct``; same result.
    """

    wiki_KKT_lam: NonNegative
    forget_KKT_lam: NonNegative
    regularization_lam: PositiveFloat
    epsilon: Annotated[float, Field(ge=0, le=1)]
    projector: Literal["published", "identity_preserving", "centred", "none"]
    solver: Literal["woodbury", "direct"]
