"""RWKU's neighbours that name their target, and a level file that is named without its folder."""

import pytest

from dsets import load
from dsets.schemas.rwku import UNASKED
from tests.dsets.made_rows import written
from tests.dsets.schemas.test_rwku import asked, neighbor, people, put
from util.errors import UserError


def test_a_neighbor_that_names_its_target_goes_with_that_person(tmp_path):
    named = [neighbor("Elm") | {"target": "Bo"}, neighbor("Ash") | {"target": "Cy"}, neighbor("Orr") | {"target": ""}]
    dataset = load(put(tmp_path / "set", people("Ana", "Bo", neighbor_level1=named)))
    ana, bo = ([prompt for level, prompt in asked(record) if level == "neighbor_1"] for record in dataset.records)
    elm, orr = (f"Fill in the blank. {name} is a ___.\nAnswer:" for name in ("Elm", "Orr"))
    assert (ana, bo) == ([orr], [elm, orr])
    assert dataset.skipped == {UNASKED: ["neighbor_level1-1"]}


def test_a_target_that_is_no_text_is_refused(tmp_path):
    files = people("Ana", neighbor_level2=[neighbor("Orr", "2"), neighbor("Elm", "2") | {"target": 5}])
    with pytest.raises(UserError, match=r"neighbor_level2.json: record 1 .*'target' is 5; it must be a string"):
        load(put(tmp_path, files))


def test_in_a_targets_folder_the_folder_says_whose_a_neighbor_is(tmp_path):
    put(tmp_path / "1_Ana", people("Ana", neighbor_level1=[neighbor("Elm") | {"target": "Bo"}]))
    (record,) = load(str(tmp_path)).records
    assert ("neighbor_1", "Fill in the blank. Elm is a ___.\nAnswer:") in asked(record)


@pytest.mark.parametrize("name", ["forget_level1.json", "people.JSONL"])
def test_a_file_of_blanks_by_itself_has_facts(tmp_path, name):
    rows = people("Ana", "Bo")["forget_level1"]
    dataset = load(written(tmp_path, rows, name))
    assert (dataset.name, dataset.metric) == (name.split(".")[0], "counterfact")
    assert [(record.subject, [level for level, _ in asked(record)]) for record in dataset.records] == [
        ("Ana", ["level_1"]),
        ("Bo", ["level_1"]),
    ]
    assert dataset.digest == load(written(tmp_path, rows, name)).digest and dataset.size > 0


def test_a_file_without_facts_is_sent_to_its_folder(tmp_path):
    put(tmp_path, people("Ana"))
    with pytest.raises(UserError, match=r"holds none; put forget_level1.json beside it, and name their folder"):
        load(str(tmp_path / "forget_level2.json"))


def test_capitals_in_the_files_endings_are_nothing(tmp_path):
    put(tmp_path, people("Ana"), ".JSONL")
    assert load(str(tmp_path)).notes == {}
