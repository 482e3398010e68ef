"""Invented names differ, are the same for a seed, and begin alike whatever their number."""

from util.invented import invented_names


def test_names_are_many_different_and_drawn_by_the_seed():
    names = invented_names(500)
    assert len(set(names)) == 500 and all(len(name.split()) == 2 for name in names)
    assert invented_names(20) == names[:20] != invented_names(20, seed=1)
    assert invented_names(0) == []
