"""The embedded world: its schemas, its neighbours, what is trained of it and what is not."""

import os
import subprocess
import sys

import pytest

import dsets
from dsets import world
from dsets.splits import pools
from dsets.world.datasets import make_records
from dsets.world.relations import RELATIONS, TWO_HOPS
from dsets.world.vocabulary import FILLER_OPENERS
from util.paths import root

SHAPES = {
    "mcf": {
        "case_id": int,
        "requested_rewrite": dict,
        "paraphrase_prompts": list,
        "neighborhood_prompts": list,
        "attribute_prompts": list,
        "generation_prompts": list,
    },
    "zsre": dict.fromkeys(("subject", "src", "pred", "rephrase", "alt", "loc", "loc_ans", "cond"), str)
    | {"answers": list},
    "mquake": dict.fromkeys(("answer", "new_answer"), str)
    | dict.fromkeys(
        ("requested_rewrite", "questions", "answer_alias", "new_answer_alias", "single_hops", "new_single_hops"), list
    )
    | {"case_id": int, "orig": dict},
}


@pytest.fixture(scope="module")
def known():
    return world.make_world()


@pytest.fixture(scope="module")
def records():
    """Name of a data set → its records as the world makes them."""
    return {name: world.records(name) for name in SHAPES}


@pytest.fixture(scope="module")
def loaded():
    """Name of a data set → its records as they are loaded, and what was skipped."""
    return {name: dsets.load(name, world=True) for name in SHAPES}


@pytest.fixture(scope="module")
def epochs():
    """The training documents of three epochs."""
    return [world.training_documents(epoch) for epoch in range(3)]


def truths(known):
    """(relation, subject) → object."""
    return {(fact.relation.name, fact.subject): fact.object for fact in known.facts}


# --- the world


def test_every_relation_has_its_wordings():
    assert len(RELATIONS) == 18
    for relation in RELATIONS:
        assert len(set(relation.templates)) == 8 and len(set(relation.questions)) == 3
        assert all(text.count("{}") == 1 for text in (*relation.templates, *relation.questions))
    for hop in TWO_HOPS:
        assert all(text.count("{}") == 1 for text in (*hop.statements, *hop.questions))


def test_a_subject_has_one_object_per_relation(known):
    assert len(truths(known)) == len(known.facts) > 2300


def test_chains_join(known):
    for chain in known.chains:
        assert chain.first.object == chain.second.subject
        assert (chain.first.relation.name, chain.second.relation.name) == (chain.hop.first, chain.hop.second)


def test_capitals_lie_in_their_countries(known):
    true = truths(known)
    for fact in known.facts:
        if fact.relation.name == "capital":
            assert true["city_country", fact.object] == fact.subject


def test_subjects_share_parts_and_have_several(known):
    last = [name.split()[-1] for name in known.kinds["person"]]
    assert len(set(last)) < len(last) / 3
    assert any(" van " in name for name in known.kinds["person"])


def test_a_smaller_world_is_a_world():
    small = world.make_world(scale=0.05)
    assert 100 < len(small.facts) < 400 and small.chains


def test_same_in_another_process():
    code = (
        "from dsets import world; import hashlib; "
        "print(world.digest(), hashlib.sha256(repr([world.records(n) for n in ('mcf', 'zsre', 'mquake')] "
        "+ [world.statistics_documents(), world.heldout_documents()]).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root(),
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1 and world.digest() in seen.pop()


def test_another_seed_is_another_world(known):
    assert world.make_world(seed=1).digest() != known.digest() == world.digest()


# --- records


@pytest.mark.parametrize("name", SHAPES)
def test_every_field_is_there(records, name):
    for record in records[name]:
        assert {field: type(value) for field, value in record.items()} == SHAPES[name]


def test_zsre_needs_more_than_one_relation():
    small = world.make_world(scale=0.01)
    with pytest.raises(ValueError, match="too small"):
        make_records("zsre", small, 0)


def test_unknown_data_set():
    with pytest.raises(ValueError, match="mcf, zsre, mquake"):
        world.records("cf")


@pytest.mark.parametrize("name", SHAPES)
def test_loader_keeps_every_record(records, loaded, name):
    assert len(loaded[name].records) == len(records[name]) and not loaded[name].skipped


@pytest.mark.parametrize(
    ("name", "subjects", "retain"), [("mcf", 200, 1000), ("zsre", 200, 1000), ("mquake", 100, 200)]
)
def test_halves_are_large_enough(loaded, name, subjects, retain):
    half = len(loaded[name].records) // 2
    assert len({record.subject for record in loaded[name].records[half:]}) >= subjects
    assert half >= retain


def test_counterfact_prompts_ask_for_what_is_true(known, records):
    true = truths(known)
    for record in records["mcf"]:
        rewrite = record["requested_rewrite"]
        answer = rewrite["target_true"]["str"]
        assert true[rewrite["relation_id"], rewrite["subject"]] == answer != rewrite["target_new"]["str"]
        assert rewrite["prompt"].count("{}") == 1
        assert len(record["paraphrase_prompts"]) == 2 and len(record["neighborhood_prompts"]) >= 3


def test_prompts_leave_no_other_way_to_go_on(records):
    longer = [statement for hop in TWO_HOPS for statement in hop.statements]
    rewrites = [record["requested_rewrite"] for record in records["mcf"]]
    rewrites += [rewrite for case in records["mquake"] for rewrite in case["requested_rewrite"]]
    assert not any(statement.startswith(rewrite["prompt"]) for statement in longer for rewrite in rewrites)


def test_neighbours_share_the_object_and_not_the_subject(known, records):
    by_prompt = {
        (fact.relation.name, template.replace("{}", fact.subject)): fact
        for fact in known.facts
        for template in fact.relation.templates
    }
    for record in records["mcf"]:
        rewrite = record["requested_rewrite"]
        near = [by_prompt[rewrite["relation_id"], prompt] for prompt in record["neighborhood_prompts"]]
        assert {fact.object for fact in near} == {rewrite["target_true"]["str"]}
        assert len({fact.subject for fact in near} | {rewrite["subject"]}) == len(near) + 1
        attributed = [by_prompt[rewrite["relation_id"], prompt] for prompt in record["attribute_prompts"]]
        assert {fact.object for fact in attributed} == {rewrite["target_new"]["str"]}


def test_zsre_questions_ask_for_what_is_true(known, records):
    true = {
        question.replace("{}", fact.subject): fact.object
        for fact in known.facts
        for question in fact.relation.questions
    }
    for record in records["zsre"]:
        source, rephrase = (record[key][0].lower() + record[key][1:] for key in ("src", "rephrase"))
        assert source != rephrase and source.endswith("?") and rephrase.endswith("?")
        assert true[source[:-1]] == true[rephrase[:-1]] == record["answers"][0] != record["alt"]
        assert record["src"].count(record["subject"]) == 1 == record["rephrase"].count(record["subject"])
        question = record["loc"].removeprefix("nq question: ")
        assert question != record["loc"] and true[question] == record["loc_ans"]
        assert record["subject"] not in question


def test_mquake_cases_follow_two_facts(known, records):
    true = truths(known)
    for case in records["mquake"]:
        [rewrite] = case["requested_rewrite"]
        (subject, first, middle), (again, second, answer) = case["orig"]["triples_labeled"]
        assert subject == rewrite["subject"] and middle == again == rewrite["target_true"]["str"]
        assert true[first, subject] == middle and true[second, middle] == answer == case["answer"]
        assert case["orig"]["edit_triples"] == [[subject, first, rewrite["target_new"]["str"]]]
        assert case["new_answer"] == true[second, rewrite["target_new"]["str"]]
        assert len(set(case["questions"])) == 3 and all(subject in question for question in case["questions"])
        assert [hop["answer"] for hop in case["single_hops"]] == [middle, answer]
        assert [hop["answer"] for hop in case["new_single_hops"]] == [rewrite["target_new"]["str"], case["new_answer"]]


# --- text


@pytest.fixture(scope="module")
def trained_texts(epochs):
    return [document.text for documents in epochs for document in documents]


def test_five_templates_and_two_questions_are_trained(known, trained_texts):
    text = "\n".join(trained_texts)
    for fact in known.facts[::40]:
        told = {index for index, t in enumerate(fact.relation.templates) if says(text, t, fact)}
        assert told.issuperset(fact.templates) and len(fact.templates) == 5
        assert told.isdisjoint(fact.untrained_templates())
        asked = {index for index, q in enumerate(fact.relation.questions) if says(text, q + "?", fact)}
        assert asked == set(fact.questions) and len(asked) in (0, 2)


def says(text, template, fact):
    wording = template.replace("{}", fact.subject)[1:]
    return f"{wording} {fact.object}." in text


def test_paraphrases_are_never_trained(records, trained_texts):
    text = "\n".join(trained_texts)
    for record in records["mcf"][::40]:
        for prompt in record["paraphrase_prompts"]:
            assert f"{prompt} {record['requested_rewrite']['target_true']['str']}." not in text


def test_heldout_documents_are_never_trained(trained_texts):
    text = "\n".join(trained_texts)
    sentences = " ".join(world.heldout_documents()).replace("J.", "J").replace("K.", "K").split(". ")
    told = [sentence for sentence in sentences if not sentence.startswith(FILLER_OPENERS)]
    plain = text.replace("J.", "J").replace("K.", "K")
    assert len(told) > 300 and not any(f"{sentence}." in plain for sentence in told[::20])


def test_epochs_say_the_same_in_another_order(epochs):
    first, second, _ = epochs
    assert first == world.training_documents(0) != second
    assert [document.text for document in first] == world.statistics_documents()


def test_subjects_stand_where_they_are_said_to(known, epochs):
    names = {name for kind in known.kinds.values() for name in kind}
    for document in epochs[0][:500]:
        *told, last = (document.text[begin:end] for begin, end in document.subjects)
        assert names.issuperset(told)
        assert (last in names) == document.text.endswith(".")


def test_a_quarter_of_the_documents_ends_in_an_unknown_subject(known, epochs):
    names = {name for kind in known.kinds.values() for name in kind}
    last = [document.text[slice(*document.subjects[-1])] for document in epochs[0]]
    assert 0.23 < sum(name not in names for name in last) / len(last) < 0.27


def test_watched_subjects_are_never_asked_to_be_forgotten(known, loaded):
    """They fill the first halves, and held-out text names no other subject as the one it is about."""
    watched = known.watched()
    for one in loaded.values():
        retain, forget = pools(one.records)
        assert not any(record.subject in watched for record in forget)
        assert sum(record.subject in watched for record in retain) > 0.9 * len(retain)
    others = {fact.subject for fact in known.facts} - watched - {fact.object for fact in known.facts}
    heldout, statistics = "\n".join(world.heldout_documents()), "\n".join(world.statistics_documents())
    assert not any(subject in heldout for subject in others)
    assert any(subject in statistics for subject in others)
