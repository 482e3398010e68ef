"""Numbers that a run's identity holds for the code: what was made with others is made anew, never taken as it is."""

from importlib.metadata import version

SCORING = 7
"""Raise when the same model and facts would give other scores, or the same settings other facts."""

METHOD = 4
"""Raise when any method would give other weights for the same requests, hparams and moments."""


def scoring_versions() -> dict[str, object]:
    """What decides scores besides model, facts and settings."""
    return {"scoring": SCORING, "torch": version("torch"), "transformers": version("transformers")}
