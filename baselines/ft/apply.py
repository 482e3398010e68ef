"""FT on a model: fine-tune the edited modules on the neutral target."""

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baselines.ft.hparams import HParams
from util.editing.contexts import Templates
from util.editing.finetuning import answer_rows, fine_tune, nll_term
from util.editing.layers import Moments, check_layers, check_requests
from util.request import Request
from util.weights import WeightEdits


def apply_to_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    hparams: HParams,
    *,
    moments: Moments | None = None,
    context_templates: Templates | None = None,
    retain_requests: Sequence[Request] = (),
    previous: WeightEdits | None = None,
    seed: int = 0,
    batch_tokens: int | None = None,
    progress: bool = False,
) -> WeightEdits:
    """Edit `model` in place by minimising the NLL of each request's `target_new` after its prompt.

    seed: order of the requests. moments, context_templates, retain_requests and previous are accepted for the common
    signature and not needed here. Returns the edits, whose `undo` is bit-exact. Raises UserError on bad input, with no
    weight changed.

    A target's tokens are teacher-forced, each at its own position. The published code scores all of them, BOS and
    padding included, at the prompt's last position; for the neutral target, a single token, the place is the same and
    only the BOS makes a difference.
    """
    check_requests(requests)
    check_layers(model, hparams)
    rows = answer_rows(tokenizer, requests, [request.target_new for request in requests])
    return fine_tune(
        model,
        hparams,
        [nll_term(rows)],
        enough=lambda nll: nll < hparams.stop_below,
        seed=seed,
        batch_tokens=batch_tokens,
        progress=progress,
    )
