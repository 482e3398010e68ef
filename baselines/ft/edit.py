"""FT on a model: fine-tune the edited modules on the neutral target."""

from baselines.ft.hparams import HParams
from util.editing.finetuning import answer_rows, fine_tune, nll_term
from util.editing.setting import Setting
from util.weights import WeightEdits


def edit(setting: Setting, hparams: HParams) -> WeightEdits:
    """Minimise the NLL of each request's `target_new` after its prompt; the seed orders the requests.

    A target's tokens are teacher-forced, each at its own position. The published code scores all of them, BOS and
    padding included, at the prompt's last position; for the neutral target, a single token, the place is the same and
    only the BOS makes a difference.
    """
    rows = answer_rows(setting.tokenizer, setting.requests, setting.neutral_answers)
    return fine_tune(setting, hparams, [nll_term(rows)], enough=lambda nll: nll < hparams.stop_below)
