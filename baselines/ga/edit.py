"""GA on a model: climb the NLL of the true answers."""

from baselines.ga.hparams import HParams
from util.editing.finetuning import answer_rows, fine_tune, nll_term
from util.editing.setting import Setting
from util.weights import WeightEdits


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Maximise the NLL of each request's `target_true` after its prompt; the seed orders the requests.

    The objective has no bound: without stop_above it climbs for all epochs, and a gradient that is not finite ends it
    with the last finite weights. An answer's tokens are teacher-forced, each at its own position. The published code
    scores all of them, BOS and padding included, at the prompt's last position.
    """
    rows = answer_rows(setting.tokenizer, setting.requests, setting.true_answers)
    limit = hparams.stop_above
    return fine_tune(
        setting,
        hparams,
        [nll_term(rows, weight=-1.0)],
        enough=lambda nll: limit is not None and nll > limit,
    )
