"""BASE has nothing to set."""

from util.hparams import HParams as Strict


class HParams(Strict):
    """No keys."""
