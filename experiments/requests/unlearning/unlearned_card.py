"""The card of an unlearned model: what was done to it. No forgotten fact, no subject and no answer stands in it."""

import json

from experiments.requests.unlearning.opened import Opened
from util import paths
from util.provenance import provenance
from util.weights import WeightEdits

CARD = """# {name}, unlearned

Made from `{source}` by `{method}`, a closed-form or gradient edit of the weights below; everything else is as it was.
The model was asked to forget {facts} facts in {requests} deletion requests. The facts are not named here; the report
that was written with the model has them.

| | |
| --- | --- |
| edited weights | {weights} |
| stored as | {dtype} |
| weights before | `{before}` |
| weights now | `{after}` |
| method's settings | `{hparams}` |
| statistics | {statistics} |
| code | {commit} |

The two hashes are those of `util.weights.weights_hash` on the weights as they were edited. What holds for the source
model (licence, use, limits) holds for this one; that a fact is no longer said is evidence, not proof, that it is gone.
"""


def card(opened: Opened, edits: WeightEdits, weights: str, requests: int, facts: int, name: str) -> str:
    """The card as Markdown. weights: hash after the edit. name: of the folder it lies in."""
    settings, settled = opened.settings, opened.settled
    known = paths.model_dir(settings.model_name, settings.model_path_dir)
    return CARD.format(
        name=name,
        source=known.name if known and not settings.world else settings.model_name,
        method=settings.alg_name,
        facts=facts,
        requests=requests,
        weights=", ".join(f"`{one}`" for one in sorted(edits.original)),
        dtype=str(opened.stored).removeprefix("torch."),
        before=opened.weights,
        after=weights,
        hparams=json.dumps(settled.hparams.model_dump(mode="json"), sort_keys=True),
        statistics=f"sha256 `{settled.corpus.digest}` of the corpus" if settled.corpus else "none",
        commit=provenance(opened.model.device)["commit"] or "of no commit",
    )
