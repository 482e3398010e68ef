"""Cells and rows of the table, by hand."""

import math

import pytest

from experiments.reporting.table import COLUMNS, aligned, cell, markdown


@pytest.mark.parametrize(
    ("key", "values", "text"),
    [
        ("efficacy", [1.0, 3.0], "2.00 ± 1.00"),
        ("efficacy", [1.0], "1.00"),
        ("efficacy", [0.0, 0.0, 0.005], "0.00 ± 0.00"),
        ("efficacy", [2000.0], "2000.00"),
        ("efficacy", [None, None], "–"),
        ("efficacy", [], "–"),
        ("same_subject", [None, 4.0], "4.00 (n=1)"),
        ("same_subject", [None, 4.0, 6.0], "5.00 ± 1.00 (n=2)"),
        ("efficacy", [math.nan, 4.0], "–"),
        ("ppl", [1000.0], "1000.00"),
        ("ppl", [1000.1], ">1000"),
        ("ppl", [4.0, 4.0, 5000.0], ">1000"),
        ("ppl", [4.0, math.inf], ">1000"),
    ],
)
def test_cells(key, values, text):
    assert cell(key, values) == text


def test_columns_are_aligned():
    table = aligned([["", "Eff"], ["Base", "1.00 ± 2.00"], ["A longer name", "–"]])
    assert table.splitlines() == [
        "|               |         Eff |",
        "| ------------- | ----------: |",
        "| Base          | 1.00 ± 2.00 |",
        "| A longer name |           – |",
    ]


def summary(alg_name, seed, value, ds_name="mcf", **more):
    return {
        "alg_name": alg_name,
        "model_name": "m",
        "ds_name": ds_name,
        "seed": seed,
        "unlearn_num": 5,
        "base": dict.fromkeys(COLUMNS, 90.0 + seed),
        "unlearned": dict.fromkeys(COLUMNS, value),
    } | more


def body(table):
    return [[part.strip() for part in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


def test_chance_is_that_of_the_seeds_however_many_methods_ran_on_each():
    runs = [summary("A", 0, 1, chance=10.0), summary("B", 0, 1, chance=10.0), summary("A", 1, 1, chance=30.0)]
    assert markdown(runs, ["A", "B"]).splitlines()[0] == "m, mcf: 5 facts, 2 seeds, right by chance 20.00"
    assert "chance" not in markdown([summary("A", 0, 1)], ["A"])


def test_base_stands_first_and_rows_come_in_the_order_asked_for():
    table = markdown([summary(name, seed, seed) for seed in (0, 2) for name in ("A", "B")], ["B", "A"])
    assert table.splitlines()[0] == "m, mcf: 5 facts, 2 seeds"
    assert [row[0] for row in body(table)[2:]] == ["Base", "B", "A"]
    assert body(table)[2][1] == "91.00 ± 1.00"
    assert body(table)[3][1] == "1.00 ± 1.00"


def test_a_block_per_data_set():
    table = markdown([summary("A", 0, 1.0), summary("A", 0, 2.0, "zsre")], ["A"])
    assert [line for line in table.splitlines() if line.startswith("m, ")] == [
        "m, mcf: 5 facts, 1 seed",
        "m, zsre: 5 facts, 1 seed",
    ]


def test_base_alone_is_one_row():
    assert [row[0] for row in body(markdown([summary("BASE", 0, 1.0)], ["BASE"]))[2:]] == ["Base"]


def test_a_collapsed_seed_is_not_left_out_of_the_mean():
    broken = summary("A", 1, None, collapse={"step": 1, "facts": 5, "reason": "perplexity is not finite"})
    table = markdown([summary("A", 0, 1.0), broken], ["A"])
    row = body(table)[3]
    assert row[0] == "A †"
    assert row[1] == "–"
    assert row[-1] == ">1000"
    assert "† collapsed" in table


def test_what_only_some_runs_measure_stands_in_a_second_table():
    plain = markdown([summary("A", 0, 1.0)], ["A"])
    entropy = summary("A", 0, 1.0)
    entropy["base"] |= {"mmlu": 25.5, "entropy": 6.0, "reference": None}
    entropy["unlearned"] |= {"mmlu": 24.5, "entropy": None, "reference": None}
    table = markdown([entropy], ["A"])
    assert table.startswith(plain)
    assert body(table[len(plain) :]) == [
        ["", "Entropy", "MMLU ↑"],
        ["-" * 4, "-" * 6 + ":", "-" * 5 + ":"],
        ["Base", "6.00", "25.50"],
        ["A", "–", "24.50"],
    ]


def test_perplexities_of_different_texts_are_never_averaged():
    runs = [summary("A", seed, 1.0, ppl_text=text) for seed, text in enumerate(["paper", "wikitext2", "none"])]
    titles = [line for line in markdown(runs, ["A"]).splitlines() if line.startswith("m, ")]
    assert titles == [
        "m, mcf: 5 facts, 1 seed, PPL on paper",
        "m, mcf: 5 facts, 1 seed, PPL on wikitext2",
        "m, mcf: 5 facts, 1 seed",
    ]
