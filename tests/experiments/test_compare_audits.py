"""Audits side by side: seeds are pooled, what cannot be compared is refused, the picture says every number."""

import json
from xml.etree import ElementTree

import pytest

from experiments.compare_audits import main
from util.errors import UserError

SVG = "{http://www.w3.org/2000/svg}"


def put(folder, seed=0, before="b", prompts=("A is",), versions=None, **attacks):
    """An audit.json; attacks: name → (recovered, chance), more than ten points over which accuse."""
    found = {
        name: {"recovered": got, "chance": chance, "accuses": got - chance > 10, "counted": name != "avoided"}
        for name, (got, chance) in attacks.items()
    }
    for name, version in (versions or {}).items():
        found[name]["version"] = version
    for name in found.keys() & {"depth"}:
        found[name]["details"] = {"depth": 0.5 + seed / 10}
    hidden = any(one["accuses"] for one in found.values())
    result = {
        "version": 2,
        "verdict": "hidden" if hidden else "forgotten",
        "attacks": found,
        "locality": {"same subject": None, "unrelated": {"mean": 0.25 + seed, "tail": 1.5, "n": 3}},
        "facts": [{"prompt": prompt, "answer": "B"} for prompt in prompts],
        "made_from": {"key": {"before": before, "seed": seed, "facts": str(folder)}},
    }
    folder.mkdir(parents=True)
    (folder / "audit.json").write_text(json.dumps(result), encoding="utf-8")
    return folder


def run(folder, **audits) -> dict:
    main([*(f"{name.split('_')[0]}={path}" for name, path in audits.items()), "--output", str(folder / "out")])
    return json.loads((folder / "out" / "comparison.json").read_text())["methods"]


def test_seeds_of_a_method_are_pooled(tmp_path, capsys):
    one = put(tmp_path / "1", 0, lens=(50.0, 10.0), avoided=(90.0, 0.0))
    two = put(tmp_path / "2", 1, lens=(20.0, 20.0), mask=(10.0, 0.0))
    oracle = put(tmp_path / "3", 0, lens=(5.0, 10.0)) / "audit.json"
    found = run(tmp_path, MEMIT_1=one, MEMIT_2=two, oracle=oracle)
    memit = found["MEMIT"]
    assert memit["seeds"] == [0, 1] and memit["verdicts"] == {"hidden": 1, "forgotten": 1}
    assert memit["attacks"]["lens"]["excess"] == {"mean": 20.0, "std": 20.0, "n": 2}
    assert memit["attacks"]["mask"]["excess"]["n"] == 1
    assert memit["worst"] == {"mean": 25.0, "std": 15.0, "n": 2}  # avoided does not count
    assert found["oracle"]["attacks"]["lens"]["excess"]["mean"] == -5
    out = capsys.readouterr().out
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in out.splitlines()[:8]
    }
    assert cells["lens"] == ["20.0 ± 20.0 *1", "-5.0 ± 0.0"]
    assert cells["mask"] == ["10.0 ± 0.0 (n = 1)", "–"]
    assert "avoided †" in cells


def test_the_depth_score_and_what_else_changed_stand_below(tmp_path, capsys):
    one, two = (put(tmp_path / str(seed), seed, depth=(1.0, 1.0)) for seed in (0, 1))
    found = run(tmp_path, a_1=one, a_2=two, b=put(tmp_path / "b", lens=(1.0, 1.0)))
    assert found["a"]["depth_score"] == {"mean": 0.55, "std": pytest.approx(0.05), "n": 2}
    assert found["a"]["locality"] == {
        "unrelated": {"mean": {"mean": 0.75, "std": 0.5, "n": 2}, "tail": {"mean": 1.5, "std": 0.0, "n": 2}}
    }
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert ["depth score (1 gone, 0 all there)", "0.55 ± 0.05", "–"] in rows
    assert ["KL, unrelated, nats", "0.750 ± 0.500", "0.250 ± 0.000"] in rows


def test_the_heat_map_says_every_number_in_file_and_page(tmp_path):
    run(tmp_path, a=put(tmp_path / "1", lens=(50.0, 10.0), mask=(0.0, 30.0)), b=put(tmp_path / "2", lens=(7.0, 7.0)))
    tree = ElementTree.parse(tmp_path / "out" / "comparison.svg").getroot()
    said = [one.text for one in tree.iter(f"{SVG}text")]
    assert said == ["a", "b", "lens", "40", "0", "mask", "-30", "–"]
    kinds = [[part.get("class") for part in cell.iter(f"{SVG}rect")] for cell in tree.iter(f"{SVG}g")]
    assert kinds == [["none", "more"], ["none"], ["none", "less"], ["none"]]
    assert "prefers-color-scheme: dark" in tree.find(f"{SVG}style").text
    html = (tmp_path / "out" / "comparison.html").read_text()
    assert "<svg" in html and "<script" not in html


def test_what_cannot_be_compared_is_refused(tmp_path):
    good = put(tmp_path / "good", lens=(1.0, 1.0))
    with pytest.raises(UserError, match="both have seed 0 and other facts"):
        run(tmp_path, a=good, b=put(tmp_path / "facts", prompts=("C is",), lens=(1.0, 1.0)))
    for number, (what, changes) in enumerate(
        {"model before": {"before": "other"}, "version of lens": {"versions": {"lens": 2}}}.items()
    ):
        for seed in (0, 1):
            other = put(tmp_path / f"{number} {seed}", seed, lens=(1.0, 1.0), **changes)
            for name in ("a_2", "b"):
                with pytest.raises(UserError, match=f"have another {what}"):
                    run(tmp_path, a_1=good, **{name: other})
    run(tmp_path, a=good, b=put(tmp_path / "seed", 1, prompts=("C is",), lens=(1.0, 1.0)))
    with pytest.raises(UserError, match="are both a, seed 0"):
        run(tmp_path, a_1=good, a_2=put(tmp_path / "again", lens=(1.0, 1.0)))
    (tmp_path / "no.json").write_text("[]")
    with pytest.raises(UserError, match="is no audit"):
        run(tmp_path, a=tmp_path / "no.json")
    with pytest.raises(UserError, match="cannot be read"):
        run(tmp_path, a=tmp_path / "nowhere.json")
    with pytest.raises(UserError, match="no NAME=PATH"):
        main(["MEMIT", "--output", str(tmp_path)])
