"""BASE on a model: nothing happens."""

from baselines.base.hparams import HParams
from util.editing.setting import Setting
from util.weights import WeightEdits


def edit(_setting: Setting, _hparams: HParams) -> WeightEdits:
    """No change, empty edits."""
    return WeightEdits()
