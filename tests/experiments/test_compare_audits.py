"""Audits side by side: seeds are pooled, what cannot be compared is refused, the picture says every number."""

import json
from xml.etree import ElementTree

import pytest

from experiments.compare_audits import main
from util.errors import UserError

SVG = "{http://www.w3.org/2000/svg}"


def put(folder, seed=0, before="b", prompts=("A is",), **attacks):
    """An audit.json; attacks: name → (recovered, chance), more than ten points over which accuse."""
    found = {
        name: {"recovered": got, "chance": chance, "accuses": got - chance > 10, "counted": name != "avoided"}
        for name, (got, chance) in attacks.items()
    }
    hidden = any(one["accuses"] for one in found.values())
    result = {
        "version": 2,
        "verdict": "hidden" if hidden else "forgotten",
        "attacks": found,
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
    for changes, said in {
        "facts": {"prompts": ("C is",)},
        "model before": {"before": "other"},
    }.items():
        with pytest.raises(UserError, match=f"both have seed 0 and another {changes}"):
            run(tmp_path, a=good, b=put(tmp_path / changes, lens=(1.0, 1.0), **said))
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
