"""The world's facts as records in the schemas of CounterFact, zsRE (MEND's split) and MQuAKE.

Every file is in a seeded order, facts about watched subjects first: they are in its first half, the retain pool.
"""

import random
from collections.abc import Callable, Sequence

from dsets.world.documents import SEARCH_PREFIX, ask
from dsets.world.facts import Chain, Fact, World
from dsets.world.relations import RELATIONS, TWO_HOPS, Relation

Shared = dict[tuple[str, str], list[Fact]]
"""World.neighbors()"""

NEIGHBORS, FEWEST_NEIGHBORS = 5, 3
ATTRIBUTES, GENERATIONS, PARAPHRASES = 5, 3, 2

LONGER = tuple(statement for hop in TWO_HOPS for statement in hop.statements)
DEFINITE = {
    relation.name: [
        index
        for index, template in enumerate(relation.templates)
        if not any(statement.startswith(template) for statement in LONGER)
    ]
    for relation in RELATIONS
}
"""Relation → its templates after which only the object is right.

A few go on in a statement over two facts: "{} was born in" is followed by "Velmar" as well as by "a city of the
country Arvonia", so a model that knows the fact may say either.
"""


def make_records(ds_name: str, world: World, seed: int) -> list[dict]:
    """The records of "mcf", "zsre" or "mquake". Raises ValueError for another name."""
    if ds_name not in MAKERS:
        raise ValueError(f"the embedded world has no data set {ds_name!r}; it has {', '.join(MAKERS)}")
    return MAKERS[ds_name](world, random.Random(f"{ds_name} {seed}"))


def _choose(options: Sequence, count: int, rng: random.Random) -> list:
    return rng.sample(list(options), min(count, len(options)))


def _shared_facts(world: World, shared: Shared, rng: random.Random) -> list[Fact]:
    """The facts with enough neighbours: those about watched subjects, then the others, each shuffled."""
    facts = [fact for fact in world.facts if len(shared[fact.relation.name, fact.object]) > FEWEST_NEIGHBORS]
    rng.shuffle(facts)
    watched = world.watched()
    return sorted(facts, key=lambda fact: fact.subject not in watched)


def _other_object(fact: Fact, shared: Shared, rng: random.Random) -> str:
    """A false object: true of other subjects in the same relation."""
    return rng.choice([name for relation, name in shared if relation == fact.relation.name and name != fact.object])


def _entity(name: str) -> dict[str, str]:
    return {"str": name, "id": "W-" + name.lower().replace(" ", "-")}


def _rewrite(fact: Fact, template: str, new: str) -> dict:
    return {
        "prompt": template,
        "relation_id": fact.relation.name,
        "target_new": _entity(new),
        "target_true": _entity(fact.object),
        "subject": fact.subject,
    }


# --- CounterFact


def _counterfact(world: World, rng: random.Random) -> list[dict]:
    shared = world.neighbors()
    facts = enumerate(_shared_facts(world, shared, rng))
    return [_counterfact_record(case_id, fact, shared, rng) for case_id, fact in facts]


def _counterfact_record(case_id: int, fact: Fact, shared: Shared, rng: random.Random) -> dict:
    """The paraphrases are never trained for this fact; the prompt, any other template, may be or not.

    Where too few paraphrases are definite (see `DEFINITE`) others fill the place.
    """
    new = _other_object(fact, shared, rng)
    neighbors = [other for other in shared[fact.relation.name, fact.object] if other.subject != fact.subject]
    definite = DEFINITE[fact.relation.name]
    untrained = _choose(fact.untrained_templates(), len(fact.relation.templates), rng)
    paraphrases = sorted(untrained, key=lambda index: index not in definite)[:PARAPHRASES]
    prompt = rng.choice([index for index in definite if index not in paraphrases])
    return {
        "case_id": case_id,
        "requested_rewrite": _rewrite(fact, fact.relation.templates[prompt], new),
        "paraphrase_prompts": [_fill(fact, index) for index in paraphrases],
        "neighborhood_prompts": _prompts(_choose(neighbors, NEIGHBORS, rng), rng),
        "attribute_prompts": _prompts(_choose(shared[fact.relation.name, new], ATTRIBUTES, rng), rng),
        "generation_prompts": [_fill(fact, index) for index in _choose(fact.templates, GENERATIONS, rng)],
    }


def _fill(fact: Fact, index: int) -> str:
    return fact.relation.templates[index].replace("{}", fact.subject)


def _prompts(facts: list[Fact], rng: random.Random) -> list[str]:
    return [_fill(fact, rng.choice(DEFINITE[fact.relation.name])) for fact in facts]


# --- zsRE


def _zsre(world: World, rng: random.Random) -> list[dict]:
    shared = world.neighbors()
    facts = _shared_facts(world, shared, rng)
    asked = [fact for fact in facts if fact.questions]
    if len({fact.relation.name for fact in asked}) < 2 or len({fact.subject for fact in asked}) < 3:
        raise ValueError("the world is too small: zsRE's locality needs facts of two relations about three subjects")
    return [_zsre_record(fact, _unrelated(fact, asked, rng), shared, rng) for fact in facts]


def _unrelated(fact: Fact, asked: list[Fact], rng: random.Random) -> Fact:
    """A fact of another relation about another subject, whose questions are trained."""
    while (other := rng.choice(asked)).subject == fact.subject or other.relation.name == fact.relation.name:
        pass
    return other


def _zsre_record(fact: Fact, unrelated: Fact, shared: Shared, rng: random.Random) -> dict:
    """Question and rephrasing are two of the relation's three forms, trained for this fact or not."""
    source, rephrase = rng.sample(fact.relation.questions, 2)
    alternative = _other_object(fact, shared, rng)
    question = ask(source).replace("{}", fact.subject)
    locality = unrelated.relation.questions[rng.choice(unrelated.questions)]
    return {
        "subject": fact.subject,
        "src": question,
        "pred": fact.object,
        "rephrase": ask(rephrase).replace("{}", fact.subject),
        "alt": alternative,
        "answers": [fact.object],
        "loc": SEARCH_PREFIX + locality.replace("{}", unrelated.subject),
        "loc_ans": unrelated.object,
        "cond": f"{fact.object} >> {alternative} || {question}",
    }


# --- MQuAKE


def _mquake(world: World, rng: random.Random) -> list[dict]:
    known = {(fact.relation.name, fact.subject): fact for fact in world.facts}
    shared = world.neighbors()
    chains = list(world.chains)
    rng.shuffle(chains)
    watched = world.watched()
    chains.sort(key=lambda chain: chain.first.subject not in watched)
    return [_mquake_case(case_id, chain, shared, known, rng) for case_id, chain in enumerate(chains)]


def _mquake_case(
    case_id: int, chain: Chain, shared: Shared, known: dict[tuple[str, str], Fact], rng: random.Random
) -> dict:
    """The fact to rewrite is the first hop (about a person); the second is about a city or country that many share."""
    first, second = chain.first, chain.second
    new = _other_object(first, shared, rng)
    new_second = known[second.relation.name, new]
    template = first.relation.templates[rng.choice([i for i in DEFINITE[first.relation.name] if i in first.templates])]
    return {
        "case_id": case_id,
        "requested_rewrite": [
            _rewrite(first, template, new) | {"question": ask(first.relation.questions[0]).replace("{}", first.subject)}
        ],
        "questions": [ask(question).replace("{}", first.subject) for question in chain.hop.questions],
        "answer": second.object,
        "answer_alias": [],
        "new_answer": new_second.object,
        "new_answer_alias": [],
        "single_hops": [_hop(first.relation, first.subject, first.object), _of(second)],
        "new_single_hops": [_hop(first.relation, first.subject, new), _of(new_second)],
        "orig": {
            "triples_labeled": [_triple(first, first.object), _triple(second, second.object)],
            "new_triples_labeled": [_triple(first, new), _triple(new_second, new_second.object)],
            "edit_triples": [_triple(first, new)],
        },
    }


def _of(fact: Fact) -> dict:
    return _hop(fact.relation, fact.subject, fact.object)


def _hop(relation: Relation, subject: str, answer: str) -> dict:
    return {
        "question": ask(relation.questions[0]).replace("{}", subject),
        "cloze": relation.templates[0].replace("{}", subject),
        "answer": answer,
        "answer_alias": [],
    }


def _triple(fact: Fact, value: str) -> list[str]:
    return [fact.subject, fact.relation.name, value]


MAKERS: dict[str, Callable[[World, random.Random], list[dict]]] = {
    "mcf": _counterfact,
    "zsre": _zsre,
    "mquake": _mquake,
}
