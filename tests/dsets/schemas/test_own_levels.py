"""Levels that a user's own facts bring along: what they become, and which are refused."""

import pytest

from dsets import LevelProbe, load
from tests.dsets import made_rows as rows
from tests.dsets.made_rows import changed, written
from util.errors import UserError


def test_own_facts_bring_levels(tmp_path):
    probes = [{"level": "level_2", "prompt": " Who speaks? ", "answer": "She", "kind": "plain"}]
    probes.append({"level": "neighbor_1", "prompt": "Bo is", "answer": "a baker"})
    path = written(tmp_path, [rows.fact() | {"levels": probes}, rows.fact("Bo") | {"levels": None}])
    first, second = load(path).records
    assert first.levels == (
        LevelProbe(level="level_2", prompt=" Who speaks? ", answer="She", kind="plain"),
        LevelProbe(level="neighbor_1", prompt="Bo is", answer="a baker"),
    )
    assert second.levels == ()


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("levels", "level_1", "'levels' is \"level_1\"; it must be a list"),
        ("levels", ["x"], "'levels[0]' is \"x\"; it must be an object"),
        ("levels.0.level", "level_4", "'levels[0].level' is 'level_4'; it must be one of level_1, level_2, level_3"),
        ("levels.0.prompt", "", "'levels[0].prompt' has no letter or digit"),
        ("levels.0.answer", "?", "'levels[0].answer' has no letter or digit"),
        ("levels.0.answer", 5, "'levels[0].answer' is 5; it must be a string"),
    ],
)
def test_own_levels_that_are_broken(tmp_path, field, value, complaint):
    row = rows.fact() | {"levels": [{"level": "level_1", "prompt": "She speaks", "answer": "French"}]}
    path = written(tmp_path, [row, changed(row, field, value)])
    with pytest.raises(UserError) as error:
        load(path)
    assert f"{path}: record 1 (from 0): field {complaint}" in str(error.value)
