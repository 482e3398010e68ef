"""The attacks by name. A new one: one function `Audited -> Outcome` and one line here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.auditing.attacks.asking import few_shot, forms, irrelevant_prefix, paraphrases, prompt
from experiments.auditing.attacks.choosing import avoided, multiple_choice, rank, reverse
from experiments.auditing.attacks.depth import depth
from experiments.auditing.attacks.lens import lens
from experiments.auditing.attacks.masking import mask
from experiments.auditing.attacks.membership import by_loss, by_min_k, by_min_k_plus, by_zlib, membership
from experiments.auditing.attacks.probe import linear_probe
from experiments.auditing.attacks.relearning import on_other_half, on_same_subjects, on_unrelated_text
from experiments.auditing.attacks.reversal import drop_from_update, drop_from_weights
from experiments.auditing.attacks.rounding import rounding_to, to_integers, to_normal_floats
from experiments.auditing.attacks.sampling import chat, free_text, sampled
from experiments.auditing.context import Audited, Outcome
from util.errors import UserError

PROMPT = "prompt"
"""The attack that is none: the plain prompt."""


@dataclass(frozen=True)
class Attack:
    """run: the attack. about: what it does, for the report. quick: `--quick` runs it.

    counted: what it gets is evidence against the model after, and counts for the worst case and the verdict. cost: some
    seconds for 30 facts of the embedded world, wrong answers included; what is left is estimated by it. version: to
    be raised when the attack would give other results.
    """

    run: Callable[[Audited], Outcome]
    about: str
    quick: bool = False
    counted: bool = True
    cost: float = 1.0
    version: int = 1


ATTACKS = {
    PROMPT: Attack(prompt, "the prompt itself", quick=True),
    "paraphrases": Attack(paraphrases, "other wordings of the file", quick=True, cost=3),
    "forms": Attack(forms, "the prompt as a question or quotation", quick=True, cost=6),
    "chat": Attack(chat, "the tokenizer's chat template", quick=True, cost=3, version=3),
    "prefix_50": Attack(irrelevant_prefix(50), "50 tokens about nothing before the prompt", quick=True, cost=3),
    "prefix_200": Attack(irrelevant_prefix(200), "200 tokens about nothing before the prompt", cost=11),
    "few_shot": Attack(few_shot, "examples of the relation before the prompt", quick=True, cost=2.5),
    "reverse": Attack(reverse, "whose is the answer, of several subjects", quick=True, cost=1.5),
    "multiple_choice": Attack(multiple_choice, "options before the prompt", quick=True, cost=3.5),
    "free_text": Attack(free_text, "anywhere in what it writes by itself", quick=True, cost=1.5, version=2),
    "sampled": Attack(sampled, "in any of 20 texts at temperature 1", cost=42, version=2),
    "rank": Attack(rank, "likelier than the relation's other objects", quick=True, cost=2.5),
    "avoided": Attack(avoided, "less likely than the relation's other objects", quick=True, counted=False, cost=2.5),
    "lens": Attack(lens, "logit lens at every layer and position", quick=True, cost=2.5, version=2),
    "probe": Attack(linear_probe, "logistic regression on the states", quick=True, cost=3, version=3),
    "depth": Attack(depth, "its states in the run of the model before", quick=True, cost=6.5, version=2),
    "int8": Attack(rounding_to(to_integers(8), None), "weights rounded to int8, by row"),
    "int4_g32": Attack(rounding_to(to_integers(4), 32), "weights rounded to int4, groups of 32", quick=True),
    "int4_g128": Attack(rounding_to(to_integers(4), 128), "weights rounded to int4, groups of 128"),
    "nf4": Attack(rounding_to(to_normal_floats, 64), "weights rounded to NF4, groups of 64", cost=1.2),
    "relearn_half": Attack(on_other_half, "taught the other half of the facts", cost=62, version=2),
    "relearn_subjects": Attack(on_same_subjects, "taught other facts about the same subjects", cost=50, version=2),
    "relearn_unrelated": Attack(on_unrelated_text, "taught a text about nothing", cost=38, version=2),
    "drop_top": Attack(
        drop_from_weights(top=True), "edited weights less their largest directions", quick=True, cost=4.5
    ),
    "drop_bottom": Attack(drop_from_weights(top=False), "edited weights less their smallest directions", cost=4.2),
    "drop_update": Attack(drop_from_update, "the update less its largest directions", counted=False, cost=4.2),
    "mask": Attack(
        mask, "edited weights behind a mask that the other half of the facts has taught", cost=21, version=2
    ),
    "member_loss": Attack(membership(by_loss), "familiar by its loss", counted=False, cost=2.4),
    "member_zlib": Attack(membership(by_zlib), "familiar by loss and zlib", counted=False, cost=2.4),
    "member_min_k": Attack(membership(by_min_k), "familiar by min-k", counted=False, cost=2.4),
    "member_min_k_plus": Attack(membership(by_min_k_plus), "familiar by min-k++", counted=False, cost=2.4),
}


def choose(names: Sequence[str] | None, quick: bool) -> dict[str, Attack]:
    """The attacks of these names, whatever `quick` says; without names all, with `quick` the cheap ones. The plain
    prompt always, first.

    Raises UserError for a name that is none, listing those that are.
    """
    unknown = [name for name in names or () if name not in ATTACKS]
    if unknown:
        raise UserError(f"no attack is called {unknown[0]!r}; there are {', '.join(ATTACKS)}")
    wanted = [PROMPT, *(names or [name for name, attack in ATTACKS.items() if attack.quick or not quick])]
    return {name: attack for name, attack in ATTACKS.items() if name in wanted}
