"""Hparams for a new model: layers from a causal trace of facts that it knows, the rest from another model's file."""

import random
import sys
from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

import dsets
from experiments.tracing.effects import how_many_layers, mean_effects, suggested_layers
from experiments.tracing.overlap import layer_overlaps
from experiments.tracing.pieces import MLP
from experiments.tracing.restoring import TraceSettings, default_window, trace
from experiments.tracing.traced_facts import KnownFact
from util import modeling

TRACED, FEWEST, TRIED = 40, 10, 2000
"""Known facts that are traced, that a trace needs, and facts that are tried to find them."""

TEXTS, FEWEST_TEXTS = 400, 100
"""Prompts about other subjects that the overlap of keys is measured against, and how many it needs."""


def adapted(like: dict[str, Any], names: dict[str, str], layers: Sequence[int], depth: int) -> dict[str, Any]:
    """The same hparams for another model of `depth` layers.

    A method that edits one layer gets the last of `layers`, one that edits more than any trace suggests gets them all;
    the loss of the target optimisation is read from the model's last layer.
    """
    values = like | {key: name for key, name in names.items() if key in like}
    if len(like["layers"]) > how_many_layers(depth=1000):
        values["layers"] = list(range(depth))
    else:
        values["layers"] = list(layers) if len(like["layers"]) > 1 else list(layers)[-1:]
    if "v_loss_layer" in values:
        values["v_loss_layer"] = depth - 1
    return values


def drawn(records: Sequence[dsets.Record], seed: int) -> list[dsets.Record]:
    """The records among which known facts are looked for."""
    return random.Random(seed).sample(records, min(TRIED, len(records)))


def traced_layers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    drawn: Sequence[dsets.Record],
    facts: Sequence[KnownFact],
    tried: int,
    *,
    seed: int,
    batch_tokens: int | None,
    progress: bool,
) -> tuple[list[int], str]:
    """The layers, and where they come from: known facts out of so many of the drawn that were tried. What keeps a trace
    from being made is said on stderr."""
    tracing = TraceSettings(
        window=default_window(model),
        seed=seed,
        batch_tokens=batch_tokens or modeling.default_batch_tokens(model),
    )
    if len(facts) < FEWEST:
        return usual_layers(model, f"the model knows {len(facts)} of {tried} facts, a causal trace needs {FEWEST}")
    found = trace(model, facts, [MLP], tracing, positions=lambda fact: [fact.last], progress=progress)
    overlaps = _overlaps(model, tokenizer, drawn, facts, tracing, progress=progress)
    layers, _ = suggested_layers({MLP: mean_effects(found, MLP)}, overlaps)
    among = ", among the layers where other subjects' keys are farther away"
    if overlaps is None:
        among = f"; how near other subjects' keys are was not measured: that takes {FEWEST_TEXTS} texts about others"
    return layers, (
        f"causal trace of {len(facts)} known facts: largest effect of the MLPs at the subject's last token{among}"
    )


def _overlaps(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    drawn: Sequence[dsets.Record],
    facts: Sequence[KnownFact],
    tracing: TraceSettings,
    *,
    progress: bool,
) -> list[float] | None:
    """`layer_overlaps` of one half of the known facts with the other half; None with too few texts about others."""
    by_id = {record.case_id: record for record in drawn}
    requests = [by_id[fact.case_id].request() for fact in facts]
    subjects = {request.subject for request in requests}
    texts = [record.text for record in drawn if record.subject not in subjects][:TEXTS]
    if len(texts) < FEWEST_TEXTS:
        return None
    halves = requests[: len(requests) // 2], requests[len(requests) // 2 :]
    name = modeling.module_names(model)["rewrite_module_tmp"]
    return layer_overlaps(
        model,
        tokenizer,
        *halves,
        texts,
        name,
        seed=tracing.seed,
        batch_tokens=tracing.batch_tokens,
        progress=progress,
    )


def usual_layers(model: PreTrainedModel, reason: str) -> tuple[list[int], str]:
    """The layers that a published file of that depth would name, and `reason`, which is said on stderr."""
    depth, last = modeling.layer_count(model), modeling.usual_target_layer(model)
    print(f"{reason}; the layers are the usual share of the depth instead", file=sys.stderr)
    return list(range(max(0, last + 1 - how_many_layers(depth)), last + 1)), "the usual share of the depth, no trace"
