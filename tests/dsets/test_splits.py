"""Draws: halves, seeds, subjects that repeat, caps."""

import random
from dataclasses import replace

import pytest

from dsets.record import Probe, Record, in_frame
from dsets.splits import NEIGHBORS, draw, part_of, pools, share_to_count
from util.errors import UserError
from util.request import Frame


def records(subjects: list[str]) -> list[Record]:
    return [
        Record(case_id=i, prompt="{} is", subject=subject, target_true=f"x{i}") for i, subject in enumerate(subjects)
    ]


def ids(drawn: list[Record]) -> list[int]:
    return [record.case_id for record in drawn]


@pytest.fixture
def distinct() -> list[Record]:
    return records([f"s{i}" for i in range(41)])


def test_halves_and_plain_sampling_without_repeats(distinct):
    retain, forget = pools(distinct)
    assert (ids(retain), ids(forget)) == (list(range(20)), list(range(20, 41)))
    rng = random.Random(7)
    drawn = draw(distinct, 5, 6, seed=7)
    assert drawn.forget == rng.sample(forget, 5)
    assert drawn.retain == rng.sample(retain, 6)
    assert drawn.same_subject == [] and drawn.warnings == []


def test_seed_decides(distinct):
    assert draw(distinct, 5, 5, 0) == draw(distinct, 5, 5, 0)
    assert draw(distinct, 5, 5, 0) != draw(distinct, 5, 5, 1)


@pytest.mark.parametrize("seed", range(20))
def test_subjects_are_forgotten_once_and_kept_out_of_retain(seed):
    everything = records([f"s{i % 9}" for i in range(40)])
    drawn = draw(everything, 6, 30, seed)
    subjects = {record.subject for record in drawn.forget}
    assert len(subjects) == len(drawn.forget) == 6
    assert all(record.case_id >= 20 for record in drawn.forget)
    assert drawn.retain and all(record.case_id < 20 and record.subject not in subjects for record in drawn.retain)
    assert len(set(ids(drawn.retain))) == len(drawn.retain)
    assert ids(drawn.same_subject) == [
        record.case_id
        for record in everything
        if record.subject in subjects and record.case_id not in ids(drawn.forget)
    ]


def test_a_first_draw_stays_where_a_later_one_repeats_its_subject():
    everything = records(["r"] * 6 + ["a", "a", "b", "c", "d", "e"])
    for seed in range(30):
        first = random.Random(seed).sample(range(6, 12), 4)
        kept = [i for place, i in enumerate(first) if not (i in (6, 7) and {6, 7} & set(first[:place]))]
        assert ids(draw(everything, 4, 0, seed).forget)[: len(kept)] == kept


def test_the_forgotten_fact_is_not_its_own_neighbour():
    twice = Record(case_id="copy", prompt="{} is", subject="a", target_true="x1")
    other = Record(case_id="other", prompt="{} lives in", subject="a", target_true="y")
    drawn = draw([twice, other, *records(["b", "a"])[1:], Record(**vars(twice) | {"case_id": "z"})], 2, 5, 0)
    assert drawn.forget[0].subject == "a" and ids(drawn.same_subject) == ["other"]


def test_caps_warn(distinct):
    drawn = draw(distinct, 100, 200, 0)
    assert (len(drawn.forget), len(drawn.retain), len(drawn.training)) == (21, 10, 10)
    assert drawn.warnings[0].startswith("unlearn_num is 100, but there are only 21")
    assert drawn.warnings[1].startswith("retain_num is 200, but there are only 10")


@pytest.mark.parametrize(("count", "watched"), [(0, 0), (6, 6), (15, 15), (20, 15), (1000, 15)])
def test_training_facts_are_watched_by_nobody_and_as_many_as_are_forgotten(distinct, count, watched):
    drawn = draw(distinct, 5, count, seed=3)
    others, _ = pools(distinct)
    rng = random.Random(3)
    rng.sample(range(21), 5)
    assert drawn.retain == rng.sample(others, min(count, 20))[:watched]
    assert len(drawn.training) == 5 and not {*ids(drawn.training)} & {*ids(drawn.retain)}
    assert all(record in others for record in drawn.training)
    assert len(drawn.warnings) == (count > watched)


@pytest.mark.parametrize("frame", [Frame(), Frame("<user>", "<end>")], ids=["plain", "chat"])
def test_a_scored_neighbour_is_no_training_fact(frame):
    pool = [in_frame(record, frame) for record in records([f"s{i}" for i in range(40)])]
    plain = draw(pool, 3, 5, seed=0)
    asked = Probe(prompt=plain.training[1].bare, answer="x")
    forgotten = plain.forget[0].case_id
    pool[forgotten] = replace(pool[forgotten], neighborhood=(asked,))
    drawn = draw(pool, 3, 5, seed=0)
    assert ids(drawn.retain) == ids(plain.retain)
    assert len(drawn.training) == 3 and plain.training[1] not in drawn.training
    assert [drawn.training[0], drawn.training[2]] == [plain.training[0], plain.training[2]]


def test_a_fact_that_is_listed_twice_is_not_trained_on_and_watched():
    pool = records(["s0", "s1", "s2", "s3"])
    twice = [Record(**vars(record) | {"case_id": f"{record.case_id}b"}) for record in pool]
    for seed in range(20):
        drawn = draw([*pool, *twice, *records([f"f{i}" for i in range(8)])], 2, 3, seed)
        assert not {record.text for record in drawn.training} & {record.text for record in drawn.retain}


def test_one_record():
    drawn = draw(records(["a"]), 1, 1, 0)
    assert (len(drawn.forget), len(drawn.retain), len(drawn.warnings)) == (1, 0, 1)


def test_bad_numbers(distinct):
    with pytest.raises(UserError, match="unlearn_num is 0"):
        draw(distinct, 0, 10, 0)
    with pytest.raises(UserError, match="retain_num is -1"):
        draw(distinct, 1, -1, 0)
    with pytest.raises(UserError, match="no usable record"):
        draw([], 1, 1, 0)


def test_share():
    assert [share_to_count(ratio, 30) for ratio in (0.1, 0.001, 1.0)] == [3, 1, 30]
    for ratio in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(UserError, match="ratio is"):
            share_to_count(ratio, 30)


def test_a_subject_belongs_to_one_part_and_about_a_quarter_is_for_tuning():
    facts = records([f"Subject {i // 2}" for i in range(800)])
    tuning, table = part_of(facts, "tuning"), part_of(facts, "table")
    assert sorted(ids(tuning + table)) == ids(facts) and part_of(facts, "all") == facts
    assert {one.subject for one in tuning}.isdisjoint(one.subject for one in table)
    assert 0.18 < len(tuning) / len(facts) < 0.32
    assert part_of(facts[::-1], "tuning") == tuning[::-1]  # the order does not decide


# --- neighbours: named, never scored


def of_relation(name: str, subjects: list[str], start: int = 0, **fields) -> list[Record]:
    return [
        Record(case_id=start + i, prompt=f"{{}} {name}", subject=one, target_true=f"x{i}", relation_id=name, **fields)
        for i, one in enumerate(subjects)
    ]


def test_neighbours_are_in_the_forgotten_facts_prompt_forms_and_of_its_relation_first():
    pool = of_relation("speaks", [f"s{i}" for i in range(12)]) + of_relation("plays", [f"p{i}" for i in range(12)], 50)
    drawn = draw(pool, 2, 3, seed=0)  # the forget pool is the second half: players alone
    assert {one.prompt for one in drawn.neighbors} == {"{} plays"}
    scored = {record.subject for record in (*drawn.forget, *drawn.retain)}
    found = [one.subject for one in drawn.neighbors]
    assert set(found[:10]) == {f"p{i}" for i in range(12)} - scored
    assert set(found[10:]) == {f"s{i}" for i in range(12)} - scored and len(found) == 10 + 9


def test_a_subject_that_anything_scored_speaks_of_is_no_neighbour():
    probe = Probe(prompt="It is p3 who plays", answer="x")
    pool = of_relation("speaks", ["a", "b"]) + of_relation("plays", ["p0", "p0b"], 50, neighborhood=(probe,))
    spare = of_relation("plays", ["p1", "p2", "p3", "p0", "p1"], 90)
    drawn = draw(pool, 1, 1, seed=0, spare=spare)
    (forgotten,) = drawn.forget
    others = {one.subject for one in drawn.neighbors}
    assert {"p1", "p2"} <= others and not {"p3", forgotten.subject, drawn.retain[0].subject} & others
    assert len(others) == len(drawn.neighbors)


def test_spare_records_are_neighbours_and_nothing_else(distinct):
    spare = records([f"t{i}" for i in range(3)])
    with_spare, without = draw(distinct, 5, 6, 7, spare), draw(distinct, 5, 6, 7)
    assert replace(with_spare, neighbors=[]) == replace(without, neighbors=[])
    assert {one.subject for one in with_spare.neighbors} - {one.subject for one in without.neighbors} == {
        record.subject for record in spare
    }


def test_neighbours_are_capped_and_drawn_by_the_seed():
    pool = records([f"s{i}" for i in range(400)])
    drawn = [draw(pool, 5, 5, seed).neighbors for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == NEIGHBORS
