"""BASE on a model: nothing happens."""

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baselines.base.hparams import HParams
from util.editing.layers import check_requests
from util.request import Request
from util.weights import WeightEdits


def apply_to_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    hparams: HParams,
    **_options,
) -> WeightEdits:
    """No change, empty edits. Options of the common signature are accepted. UserError when `requests` is empty."""
    check_requests(requests)
    return WeightEdits()
