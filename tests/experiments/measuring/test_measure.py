"""What is asked about a draw, and what the answers are worth."""

import pytest

from dsets import LevelProbe, MultiHop, Probe, Record
from dsets.splits import Draw
from experiments.measuring import free_text
from experiments.measuring import measure as module
from experiments.measuring import rwku_scores as levels
from experiments.measuring.measure import forgotten_neighbors, measure
from experiments.measuring.scoring import Score
from tests.tiny import TINY, tokenizer

RIGHT, HALF, WRONG = Score((True, True), (-0.1, -0.1)), Score((True, False), (-0.1, -3.0)), Score((False,), (-3.0,))


def record(case_id, subject, **more):
    return Record(case_id=case_id, prompt="{} lives in", subject=subject, target_true="Port Alba", **more)


def probes(*prompts):
    return tuple(Probe(prompt=prompt, answer="Port Alba") for prompt in prompts)


@pytest.fixture
def asked(monkeypatch):
    """Scores by prompt; every other prompt is answered wrong. Remembers what was asked."""
    known: dict[str, Score] = {}
    seen = []

    def score(model, tokenizer, questions, **options):
        seen.extend(questions)
        return {question: known.get(question[0], WRONG) for question in questions}

    monkeypatch.setattr(module, "score", score)
    return known, seen


def draw(forget, retain=(), same_subject=()):
    return Draw(forget=list(forget), retain=list(retain), same_subject=list(same_subject), training=[], warnings=[])


def summary(facts, metric, **options):
    return measure(None, None, facts, metric, batch_tokens=100, **options).summary()


def test_counterfact(asked):
    known, _ = asked
    known |= {"Ana lives in": RIGHT, "Bo lives in": HALF, "p1": RIGHT, "p2": HALF, "n1": RIGHT, "r lives in": RIGHT}
    facts = draw(
        [
            record(0, "Ana", paraphrases=("p1", "p2"), neighborhood=probes("n1", "n2")),
            record(1, "Bo", paraphrases=("p2",)),
        ],
        [record(2, "r"), record(3, "s")],
        [record(4, "Ana", paraphrases=("never asked",))],
    )
    assert summary(facts, "counterfact") == {
        "efficacy": 50.0,
        "generalization": 25.0,
        "specificity": 50.0,
        "retain": 50.0,
        "same_subject": 100.0,
        "success": None,
        "difference": None,
        "entropy": None,
        "reference": None,
        "silent": None,
    }
    assert "never asked" not in {prompt for prompt, *_ in asked[1]}


def test_zsre_counts_tokens(asked):
    known, _ = asked
    known |= {"Ana lives in": HALF, "p1": HALF}
    found = summary(draw([record(0, "Ana", paraphrases=("p1",))]), "zsre")
    assert (found["efficacy"], found["generalization"]) == (50.0, 50.0)
    assert found["specificity"] is None
    assert found["retain"] is None


def test_neighbours_that_name_a_forgotten_subject_do_not_count(asked):
    known, seen = asked
    known |= {"Anatol lives in": RIGHT}
    neighbours = probes("Anatol lives in", "The sister of Bo lives in", "Ana's friend lives in")
    facts = draw([record(0, "Ana", neighborhood=neighbours), record(1, "Bo")])
    assert summary(facts, "counterfact")["specificity"] == 100.0
    assert forgotten_neighbors(facts) == 2
    assert "The sister of Bo lives in" not in {prompt for prompt, *_ in seen}


def test_probabilities(asked, monkeypatch):
    likely, unlikely = Score((True,), (-0.5,)), Score((False,), (-2.0,))
    monkeypatch.setattr(
        module,
        "score",
        lambda m, t, questions, **o: {q: likely if q[1] == "Warsaw" else unlikely for q in questions},
    )
    found = summary(draw([record(0, "Ana", target_new="Warsaw"), record(1, "Bo")]), "counterfact")
    assert found["success"] == 100.0
    assert found["difference"] == pytest.approx(100 * (likely.probability - unlikely.probability))


def case(number, *answers):
    return MultiHop(case_id=number, questions=(f"a{number}?", f"b{number}?"), answers=answers)


def test_mquake_asks_each_case_once_and_any_question_may_be_answered(asked, monkeypatch):
    known, _ = asked
    known |= {"r lives in": HALF}
    said = {"a1?": " nothing", "b1?": " It is the Alba, of course", "a2?": " Albany", "b2?": ""}
    generated = []

    def generate_texts(model, tokenizer, prompts, **options):
        generated.extend(prompts)
        return [said[prompt] for prompt in prompts]

    monkeypatch.setattr(module, "generate_texts", generate_texts)
    one, two = case(1, "Alban", "Alba"), case(2, "Alba")
    facts = draw(
        [record(0, "Ana", multihop=one), record(1, "Bo", multihop=one), record(2, "Cy", multihop=two)], [record(3, "r")]
    )
    found = summary(facts, "mquake", retain=False)
    assert found["generalization"] == 50.0
    assert found["specificity"] == found["retain"] == 50.0
    assert generated == ["a1?", "b1?", "a2?", "b2?"]
    assert summary(facts, "mquake", generation=False)["generalization"] is None


def test_retain_facts_may_be_left_out(asked):
    facts = draw([record(0, "Ana")], [record(1, "r")])
    assert summary(facts, "counterfact", retain=False)["retain"] is None


def test_texts_are_written_about_forgotten_facts_alone_and_kept_with_them(asked, monkeypatch):
    monkeypatch.setattr(free_text, "generate_texts", lambda m, t, prompts, **options: [f"{p}..." for p in prompts])
    facts = draw(
        [record(0, "Ana", generation_prompts=("Ana is", "Ana was")), record(1, "Bo")],
        [record(2, "r", generation_prompts=("r is",))],
    )
    found = measure(None, None, facts, "counterfact", batch_tokens=100)
    assert [fact.row()["generated"] for fact in found.forget] == [{"Ana is": "Ana is...", "Ana was": "Ana was..."}, {}]
    assert found.retain[0].row()["generated"] == {}
    assert found.summary()["silent"] == 0.0
    quiet = measure(None, None, facts, "counterfact", batch_tokens=100, generation=False)
    assert quiet.summary()["entropy"] is None
    assert quiet.forget[0].row()["generated"] == {}


def test_levels_are_of_forgotten_facts_alone_and_kept_with_them(asked, monkeypatch):
    monkeypatch.setattr(levels, "generate_texts", lambda m, t, prompts, **options: ["Port"] * len(prompts))
    probe = LevelProbe(level="level_2", prompt="Where is Ana?", answer="Port Alba")
    facts = draw([record(0, "Ana", levels=(probe,)), record(1, "Bo")], [record(2, "r", levels=(probe,))])
    found = measure(None, None, facts, "counterfact", batch_tokens=100)
    assert found.summary()["level_2"] == 50.0
    assert "level_1" not in found.summary()
    (row,) = found.forget[0].row()["levels"]
    assert (row["prompt"], row["said"], row["recall"]) == ("Where is Ana?", "Port", 50.0)
    assert found.forget[1].row()["levels"] == found.retain[0].row()["levels"] == []
    quiet = measure(None, None, facts, "counterfact", batch_tokens=100, generation=False)
    assert "level_2" not in quiet.summary()
    assert quiet.forget[0].row()["levels"] == []


def test_the_tokenizers_padding_does_not_matter(family):
    """With a pad token and without, padded on either side: the same scores and texts, whatever a batch holds."""
    facts = draw(
        [
            record(0, "Ada Lovelace", paraphrases=("The home of Ada is",), generation_prompts=("Ada", "Ada lives and")),
            record(1, "J. van Dyke", neighborhood=probes("Danielle Darrieux, who speaks French, lives in")),
        ],
        [record(2, "Alban")],
    )
    found = []
    for pad, side in ((False, "right"), (True, "right"), (True, "left")):
        model, tok = TINY[family]()
        tok = tokenizer(bos=tok.bos_token is not None, pad=pad, side=side)
        measured = measure(model, tok, facts, "counterfact", batch_tokens=300)
        found.append([fact.row() for fact in (*measured.forget, *measured.retain)])
    assert found[0] == found[1] == found[2] and any(found[0][0]["generated"].values())
