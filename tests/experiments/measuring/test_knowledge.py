"""Which facts count as known at which level, and what becomes of their neighbours."""

import json
from dataclasses import replace

import pytest

import dsets
from dsets import Probe, Record
from experiments.measuring import knowledge
from experiments.measuring.knowledge import INVENTED, Verdict, as_counterfact, counts, judge, known_records
from experiments.measuring.scoring import Score
from tests.experiments.known import known_facts
from tests.tiny import tiny_llama
from util.errors import UserError

PROMPT = "{} is the capital of"


def fact(case_id: int, subject: str, answer: str, **changes) -> Record:
    paraphrases = tuple(text.replace("{}", subject) for text in ("{} rules", "{} governs", "{} heads"))
    record = Record(case_id=case_id, prompt=PROMPT, subject=subject, target_true=answer, paraphrases=paraphrases)
    return replace(record, relation_id="capital", **changes)


FACTS = [
    fact(0, "Paris", "France", neighborhood=(Probe(prompt="Lyon is in", answer="France"),)),
    fact(1, "Lutetia", "France", neighborhood=(Probe(prompt="Paris is the capital of", answer="France"),)),
    fact(2, "Rome", "Italy"),
    fact(3, "Bern", "Switzerland"),
    fact(4, "Oslo", "Norway", paraphrases=()),
]


@pytest.fixture
def says(monkeypatch):
    """A model that is right about what it is told; returns the set to fill."""
    right: set[tuple[str, str]] = set()

    def score(model, tokenizer, questions, **options):
        return {question: Score((True, question[:2] in right), (0.0, 0.0)) for question in questions}

    monkeypatch.setattr(knowledge, "score", score)
    return right


def verdict(level: str = "strict") -> Verdict:
    return judge(None, None, FACTS, level, batch_tokens=64)


def all_prompts(right):
    right |= {(record.text, record.target_true) for record in FACTS}


def test_prompt_level(says):
    says |= {("Paris is the capital of", "France"), ("Rome is the capital of", "Italy"), ("Lyon is in", "France")}
    found = verdict("prompt")
    assert found.known == {"prompt": [0, 2]} and found.neighbours == {("Lyon is in", "France")}


def test_strict_asks_for_half_of_the_paraphrases(says):
    all_prompts(says)
    says |= {("Paris rules", "France"), ("Paris heads", "France"), ("Rome rules", "Italy")}
    assert verdict().known["strict"] == [0, 4]


def test_strict_leaves_out_what_is_said_of_subjects_that_do_not_exist(says):
    all_prompts(says)
    says |= {(text, record.target_true) for record in FACTS for text in record.paraphrases}
    says.add((PROMPT.replace("{}", INVENTED[2]), "France"))
    assert verdict().known == {"prompt": [0, 1, 2, 3, 4], "strict": [2, 3, 4]}


@pytest.mark.parametrize(("subject", "answer"), [("Luxembourg City", "Luxembourg"), ("the norway rat", "Norway")])
def test_strict_leaves_out_answers_that_stand_in_their_subject(says, subject, answer):
    copied = fact(5, subject, answer)
    says |= {(text, answer) for text in (copied.text, *copied.paraphrases)}
    found = judge(None, None, [*FACTS, copied], "strict", batch_tokens=64)
    assert found.known == {"prompt": [5], "strict": []}


def test_strict_takes_subjects_that_stand_in_their_answer(says):
    whole = fact(5, "Rome", "Rome and Latium")
    says |= {(text, whole.target_true) for text in (whole.text, *whole.paraphrases)}
    assert judge(None, None, [whole], "strict", batch_tokens=64).known["strict"] == [5]


def test_neighbours_are_known_ones(says):
    all_prompts(says)
    says.discard(("Lutetia is the capital of", "France"))
    records = {record.case_id: record for record in known_records(FACTS, verdict("prompt"), "prompt")}
    assert set(records) == {0, 2, 3, 4}
    assert records[0].neighborhood == ()
    says.add(("Lyon is in", "France"))
    all_prompts(says)
    records = {record.case_id: record for record in known_records(FACTS, verdict("prompt"), "prompt")}
    assert [one.prompt for one in records[0].neighborhood] == ["Lyon is in", "Lutetia is the capital of"]
    assert [one.prompt for one in records[1].neighborhood] == ["Paris is the capital of"]


def test_nothing_is_asked_twice(says, monkeypatch):
    all_prompts(says)
    fake, asked = knowledge.score, []

    def score(model, tokenizer, questions, **options):
        asked.extend(questions)
        return fake(model, tokenizer, questions, **options)

    monkeypatch.setattr(knowledge, "score", score)
    found = verdict("strict")
    assert ("Paris is the capital of", "France") in found.neighbours  # asked as a fact of its own
    assert len(asked) == len(set(asked))


def test_a_neighbour_that_is_a_fact_itself_must_be_of_the_level(says):
    all_prompts(says)
    says |= {(text, "France") for text in FACTS[1].paraphrases}
    records = known_records(FACTS, verdict(), "strict")
    assert {record.case_id: record.neighborhood for record in records} == {1: (), 4: ()}


def test_no_fact_is_known(says):
    with pytest.raises(UserError, match="knows none of the 5 facts at --known prompt"):
        known_records(FACTS, verdict("prompt"), "prompt")


def test_the_order_is_drawn_once(says):
    many = [fact(i, f"City {i}", "France") for i in range(40)]
    found = Verdict({"prompt": [record.case_id for record in many]}, frozenset())
    first, again = (known_records(many, found, "prompt") for _ in range(2))
    assert first == again and [record.case_id for record in first] != list(range(40))
    assert all(len(record.neighborhood) == knowledge.NEIGHBOURS for record in first)
    assert all(record.text not in {one.prompt for one in record.neighborhood} for record in first)


def test_counts_and_limit():
    facts = [*FACTS, Record(case_id="x", prompt="Is {} big?", subject="Ulm", target_true="no")]
    found = counts(facts, Verdict({"prompt": [0, 2, "x"], "strict": ["x"]}, frozenset()))
    assert found == {
        "Is {} big?": {"any": 1, "prompt": 1, "strict": 1},
        "capital": {"any": 5, "prompt": 2, "strict": 0},
    }
    assert list(found) == ["Is {} big?", "capital"]
    assert [record.case_id for record in knowledge.at_most_per_relation(facts, 2)] == [0, 1, "x"]


def test_a_verdict_survives_json():
    found = Verdict({"prompt": [1, "a"]}, frozenset({("Lyon is in", "France")}))
    assert Verdict.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_facts_survive_counterfacts_schema(tmp_path):
    record = replace(FACTS[0], target_new="Spain", generation_prompts=("Paris lies",))
    other = replace(FACTS[1], neighborhood=(Probe(prompt="x", answer="another"),))
    prefixed = [replace(FACTS[2], answer_prefix=""), replace(FACTS[3], answer_prefix=": ")]
    (tmp_path / "known.json").write_text(json.dumps([as_counterfact(one) for one in (record, other, *prefixed)]))
    assert dsets.load(str(tmp_path / "known.json")).records == [record, replace(other, neighborhood=()), *prefixed]
    assert "answer_prefix" not in as_counterfact(record)


def test_a_model_knows_what_it_says():
    """On a real model: its own argmax is known, another word is not."""
    model, tokenizer = tiny_llama()
    facts = known_facts(model, tokenizer, 6)
    records = [Record(case_id=i, **one) for i, one in enumerate(facts)]
    records += [replace(record, case_id=f"{record.case_id}", target_true="xylophone") for record in records]
    assert judge(model, tokenizer, records, "prompt", batch_tokens=512).known == {"prompt": [0, 1, 2, 3, 4, 5]}
