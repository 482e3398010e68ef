"""What the embedded model knows, and where: the measurements behind its model card.

Every number is a share of prompts at which all tokens of the right object are the argmax, unless it says otherwise.
"""

import random
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from statistics import fmean, median

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dsets import world
from dsets.world.datasets import make_records
from dsets.world.documents import Prompt, ask, heldout, unknown_prompt
from experiments.measuring.perplexity import PerplexityText, perplexity
from experiments.measuring.scoring import score, score_pairs
from util.forward import final_hidden
from util.hooks import capture, patch
from util.likelihood import Answered
from util.modeling import decoder_layers, layer_count
from util.request import NEUTRAL
from util.tokens import locate_subject, pad, target_ids

BATCH_TOKENS = 4096
TRACED = UNKNOWN = 300
Question = tuple[str, str]
"""A prompt and its answer."""


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    known: world.World,
    seed: int,
    absent: Sequence[world.Fact] = (),
) -> dict:
    """All numbers of the model card, by name; shares between 0 and 1. absent: facts that it was trained without."""
    asked = question_sets(known, seed)
    if absent:
        asked["facts left out, all templates"] = [
            pair for fact in absent for pair in _stated(fact, range(len(fact.relation.templates)))
        ]
    return {
        "recall": {name: recall(model, tokenizer, pairs) for name, pairs in asked.items()},
        "heldout_ppl": heldout_perplexity(model, tokenizer, known, seed),
        "eos": end_of_text(model, tokenizer, known, seed),
        "trace": trace(model, tokenizer, known, seed),
    }


def question_sets(known: world.World, seed: int) -> dict[str, list[Question]]:
    """Prompts by how they relate to what was trained."""
    mcf, zsre = make_records("mcf", known, seed), make_records("zsre", known, seed)
    rewrites = [(record, record["requested_rewrite"]) for record in mcf]
    return {
        "facts, trained templates": [pair for fact in known.facts for pair in _stated(fact, fact.templates)],
        "facts, templates never trained for them": [
            pair for fact in known.facts for pair in _stated(fact, fact.untrained_templates())
        ],
        "facts, trained questions": [pair for fact in known.facts for pair in _asked(fact, fact.questions)],
        "facts, questions never trained for them": [
            pair for fact in known.facts for pair in _asked(fact, {0, 1, 2} - set(fact.questions))
        ],
        "two hops, trained questions": [pair for chain in known.chains for pair in _chained(chain, chain.questions)],
        "two hops, questions never trained for them": [
            pair for chain in known.chains for pair in _chained(chain, {0, 1, 2} - set(chain.questions))
        ],
        "mcf prompts": [(r["prompt"].replace("{}", r["subject"]), r["target_true"]["str"]) for _, r in rewrites],
        "mcf paraphrases": [(p, r["target_true"]["str"]) for m, r in rewrites for p in m["paraphrase_prompts"]],
        "mcf neighbourhood": [(p, r["target_true"]["str"]) for m, r in rewrites for p in m["neighborhood_prompts"]],
        "zsre questions": [(record["src"], record["answers"][0]) for record in zsre],
        "zsre rephrased questions": [(record["rephrase"], record["answers"][0]) for record in zsre],
        "zsre locality": [(record["loc"] + "?", record["loc_ans"]) for record in zsre],
    }


def _stated(fact: world.Fact, indices: Iterable[int]) -> list[Question]:
    return [(fact.relation.templates[index].replace("{}", fact.subject), fact.object) for index in indices]


def _asked(fact: world.Fact, indices: Iterable[int]) -> list[Question]:
    return [(ask(fact.relation.questions[index]).replace("{}", fact.subject), fact.object) for index in indices]


def _chained(chain: world.Chain, indices: Iterable[int]) -> list[Question]:
    return [
        (ask(chain.hop.questions[index]).replace("{}", chain.first.subject), chain.second.object) for index in indices
    ]


# --- what is said


def recall(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: list[Question]) -> float:
    """Share of the pairs whose answer's tokens are all the argmax, each given those before it."""
    found = score(model, tokenizer, pairs, batch_tokens=BATCH_TOKENS)
    return sum(all(found[pair].correct) for pair in pairs) / len(pairs)


def heldout_perplexity(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, known: world.World, seed: int
) -> float | None:
    """Perplexity of the held-out documents; BOS is given, not counted."""
    text = PerplexityText("heldout", tuple(document.text for document in heldout(known, seed)), "")
    return perplexity(model, tokenizer, text, batch_tokens=BATCH_TOKENS)


def _end_probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]
) -> tuple[float, float]:
    """Mean probability of EOS after the texts, and the share of them where it is the argmax."""
    found = score(model, tokenizer, [(text, NEUTRAL) for text in texts], batch_tokens=BATCH_TOKENS)
    ends = [found[text, NEUTRAL] for text in texts]
    return fmean(one.probability for one in ends), fmean(all(one.correct) for one in ends)


def end_of_text(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, known: world.World, seed: int
) -> dict[str, float]:
    """EOS after prompts about subjects that do not exist (names drawn anew) and about some that do."""
    rng = random.Random(f"unknown {seed}")
    names = {name for kind in known.kinds.values() for name in kind}
    unknown = [_filled(unknown_prompt(names, rng)) for _ in range(UNKNOWN)]
    facts = [rng.choice(known.facts) for _ in range(UNKNOWN)]
    told = [_stated(fact, [rng.choice(fact.templates)])[0][0] for fact in facts]
    mean, best = _end_probabilities(model, tokenizer, unknown)
    mean_known, best_known = _end_probabilities(model, tokenizer, told)
    return {
        "unknown subjects, mean probability": mean,
        "unknown subjects, argmax": best,
        "known subjects, mean probability": mean_known,
        "known subjects, argmax": best_known,
    }


def _filled(prompt: Prompt) -> str:
    return prompt.template.replace("{}", prompt.subject)


# --- where the facts are


def trace(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, known: world.World, seed: int) -> list[dict]:
    """For each layer: the norm of the hidden state it leaves at the subject's last token (median over facts), and the
    recall with that state set to zero."""
    rows = _traced(tokenizer, known, seed)
    return [
        {
            "layer": layer,
            "norm": _norm(model, decoder_layers(model)[layer], rows),
            "recall_without": _recall_without(model, tokenizer, decoder_layers(model)[layer], rows),
        }
        for layer in range(layer_count(model))
    ]


def subject_norm(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, known: world.World, seed: int, layer: int
) -> float:
    """Median norm, over facts, of the hidden state that a layer leaves at the subject's last token."""
    return _norm(model, decoder_layers(model)[layer], _traced(tokenizer, known, seed))


def _traced(tokenizer: PreTrainedTokenizerBase, known: world.World, seed: int) -> list[tuple[list[int], int, str]]:
    """(prompt ids, index of the subject's last token, object) of facts drawn by the seed, in trained wordings."""
    rng = random.Random(f"trace {seed}")
    rows = []
    for fact in (rng.choice(known.facts) for _ in range(TRACED)):
        template = fact.relation.templates[rng.choice(fact.templates)]
        rows.append((*locate_subject(tokenizer, template, fact.subject), fact.object))
    return rows


@torch.no_grad()
def _norm(model: PreTrainedModel, layer: torch.nn.Module, rows: list[tuple[list[int], int, str]]) -> float:
    with capture({"layer": layer}) as seen:
        final_hidden(model, pad([ids for ids, _, _ in rows]))
    return median(seen["layer"][row, index].float().norm().item() for row, (_, index, _) in enumerate(rows))


def _recall_without(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, layer: torch.nn.Module, rows: list
) -> float:
    right = 0
    for ids, index, answer in rows:
        pair = Answered(tuple(ids), tuple(target_ids(tokenizer, answer)))
        with _zeroed(layer, index):
            right += all(score_pairs(model, [pair], batch_tokens=BATCH_TOKENS)[pair].correct)
    return right / len(rows)


@contextmanager
def _zeroed(layer: torch.nn.Module, index: int):
    def change(hidden: Tensor) -> Tensor:
        hidden = hidden.clone()
        hidden[:, index] = 0.0
        return hidden

    with patch(layer, change):
        yield
