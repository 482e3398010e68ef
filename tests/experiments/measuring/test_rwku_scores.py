"""RWKU's levels: the recall of an answer, means per level, every probe once, and a whole run on made-up people."""

import itertools
import json
import random

import pytest

from dsets import LevelProbe, Record
from experiments import evaluate
from experiments.measuring import rwku_scores as levels
from experiments.measuring.rwku_scores import LevelAnswer, answer_levels, level_scores, rouge_l_recall
from tests.experiments.small import PEOPLE, PLACES, Workplace


@pytest.mark.parametrize(
    ("generated", "reference", "recall"),
    [
        ("Portland", "Portland", 100.0),
        (" It is PORTLAND, of course.\nYes", "Portland", 100.0),
        ("the novel It", "It", 100.0),
        ("Warsaw", "Port Alba", 0.0),
        ("Alba Port", "Port Alba", 50.0),
        ("Port of Alba", "Port Alba", 100.0),
        ("Port", "Port Port", 50.0),
        ("", "Port Alba", 0.0),
        ("Łódź im Winter", "in Łódź", 50.0),
        ("the U.S. navy", "U.S.", 100.0),
        ("snake_case", "snake case", 100.0),
    ],
)
def test_recall(generated, reference, recall):
    assert rouge_l_recall(generated, reference) == recall


def test_recall_without_a_reference():
    with pytest.raises(ValueError, match=r"reference '\?!' has no word"):
        rouge_l_recall("Port Alba", "?!")


def subsequences(words: list[str]) -> set[tuple[str, ...]]:
    return {chosen for length in range(len(words) + 1) for chosen in itertools.combinations(words, length)}


def test_recall_is_the_longest_of_all_common_subsequences():
    rng = random.Random(0)
    for _ in range(300):
        said, wanted = ([rng.choice("abcd") for _ in range(rng.randint(low, 7))] for low in (0, 1))
        longest = max(map(len, subsequences(said) & subsequences(wanted)))
        assert rouge_l_recall(" ".join(said).upper(), ", ".join(wanted)) == 100 * longest / len(wanted)


def probe(level: str, prompt: str, answer: str = "Port Alba", kind: str = "") -> LevelProbe:
    return LevelProbe(level=level, prompt=prompt, answer=answer, kind=kind)


def record(subject: str, *probes: LevelProbe) -> Record:
    return Record(case_id=subject, prompt="{} lives in", subject=subject, target_true="Port Alba", levels=probes)


def test_scores_are_means_per_level_where_there_are_probes():
    said = [("neighbor_1", "Port Alba"), ("level_3", ""), ("level_3", "Alba"), ("level_1", "Port")]
    found = level_scores(LevelAnswer(probe(level, "p"), text) for level, text in said)
    assert found == {"level_1": 50.0, "level_3": 25.0, "neighbor_1": 100.0}
    assert list(found) == ["level_1", "level_3", "neighbor_1"]
    assert level_scores([]) == {}


def test_every_probe_is_asked_once_and_is_the_first_facts(monkeypatch):
    asked = []

    def generate_texts(model, tokenizer, prompts, **options):
        asked.extend(prompts)
        return [f"{prompt}!" for prompt in prompts]

    monkeypatch.setattr(levels, "generate_texts", generate_texts)
    shared, own = probe("neighbor_1", "n"), probe("level_1", "b")
    records = [
        record("Ana", probe("level_1", "a"), shared, probe("level_1", "a", kind="again")),
        record("Bo", shared, own, probe("level_2", "a"), probe("neighbor_1", "n", "Oslo")),
        record("Cy", shared),
    ]
    ana, bo, cy = answer_levels(None, None, records, batch_tokens=100)
    assert [answer.probe for answer in ana] == [probe("level_1", "a"), shared]
    assert [(answer.probe.level, answer.probe.answer, answer.said) for answer in bo] == [
        ("level_1", "Port Alba", "b!"),
        ("level_2", "Port Alba", "a!"),
        ("neighbor_1", "Oslo", "n!"),
    ]
    assert cy == ()
    assert asked == ["a", "n", "b", "a", "n"]


def test_a_draw_without_probes_asks_nothing():
    assert answer_levels(None, None, [record("Ana"), record("Bo")], batch_tokens=100) == [(), ()]
    assert answer_levels(None, None, [], batch_tokens=100) == []


def test_a_models_answers_do_not_hang_on_the_batch(tiny, monkeypatch):
    monkeypatch.setattr(levels, "ANSWER_TOKENS", 6)
    records = [record("Ana", probe("level_1", "Ana lives in"), probe("level_2", "Where does Ana live, then?"))]
    one = answer_levels(*tiny, records, batch_tokens=1)
    assert one == answer_levels(*tiny, records, batch_tokens=100)
    assert any(answer.said for answer in one[0])


# --- a whole run


def level_files() -> dict[str, list[dict]]:
    """Files of one set: two blanks (one that cannot be edited), a question and an attack per person, two neighbours."""
    found = {name: [] for name in ("forget_level1", "forget_level2", "forget_level3")}
    for i, name in enumerate(PEOPLE):
        row = {"subject": name, "answer": PLACES[i % 3]}
        found["forget_level1"] += [
            row | {"query": f"{name} was born in ___.", "type": "cloze", "level": "1"},
            row | {"query": f"___ is the birthplace of {name}.", "type": "cloze", "level": "1"},
        ]
        found["forget_level2"].append(row | {"query": f"Where was {name} born?", "level": "2"})
        found["forget_level3"].append(row | {"query": f"Speak of {name}: born in", "type": "suffix", "level": "3"})
    river = {"subject": "Orr", "answer": "river"}
    return found | {
        "neighbor_level1": [river | {"query": "Orr is a ___.", "level": "1"}],
        "neighbor_level2": [river | {"query": "What is Orr?", "level": "2"}],
    }


def test_a_run_on_level_files(tmp_path, monkeypatch, capsys):
    work = Workplace(tmp_path)
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    (tmp_path / "people").mkdir()
    for stem, rows in level_files().items():
        work.write(f"people/{stem}.json", json.dumps(rows))
    flags = work.arguments(ds_name=tmp_path / "people", unlearn_num=2, ppl="none")
    evaluate.main(flags)
    evaluate.main([*flags, "--skip_generation_tests"])
    full, skipped = (json.loads((folder / "summary.json").read_text(encoding="utf-8")) for folder in work.runs())
    for side in ("base", "unlearned"):
        assert all(0 <= full[side][level] <= 100 for level in ("level_1", "level_2", "level_3"))
        assert {"neighbor_1", "neighbor_2"} < full[side].keys()
        assert not any(key.startswith(("level", "neighbor")) for key in skipped[side])
    assert "Level 3 ↓" in capsys.readouterr().out
    facts = [json.loads(line) for line in (work.runs()[0] / "forget.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [len(fact["after"]["levels"]) for fact in facts] == [6, 4]
    for fact in facts:
        for old, new in zip(fact["before"]["levels"], fact["after"]["levels"], strict=True):
            assert old.keys() == new.keys() == {"level", "kind", "prompt", "answer", "said", "recall"}
            assert new["prompt"] == old["prompt"] and new["recall"] == rouge_l_recall(new["said"], new["answer"])
    run = json.loads((work.runs()[0] / "run.json").read_text(encoding="utf-8"))
    assert list(run["data"]["skipped"].values()) == [[1, 3, 5, 7, 9, 11, 13]]
    assert "_people_seed0_" in work.runs()[0].name
