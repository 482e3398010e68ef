"""Long work tells how far it is: a bar on a terminal, lines elsewhere, nothing where it is not to be told."""

import logging
import re

import pytest

from util import progress
from util.progress import progress_bar


@pytest.fixture
def told(caplog):
    """The log with stages told, as in scripts."""
    with caplog.at_level(logging.INFO, "zerounlearn.stages"):
        yield caplog


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"total": 3}, r"facts: \d of 3, .+ left"),
        ({"total": 2048, "unit": "B", "unit_scale": True}, r"facts: \d.* of 2.05k, .+ left"),
        ({}, r"facts: \d"),
    ],
)
def test_lines_where_no_bar_is_drawn(told, capsys, monkeypatch, options, line):
    monkeypatch.setattr(progress, "SECONDS", 1e-9)
    with progress_bar(desc="facts", progress=False, **options) as bar:
        bar.update()
        bar.update()
    assert len(told.messages) == 2 and all(re.fullmatch(line, one) for one in told.messages)
    assert capsys.readouterr().err == ""


def test_bars_in_bars_and_their_ends(told, monkeypatch):
    """No end is a line, nor what moves a terminal's cursor between bars."""
    monkeypatch.setattr(progress, "SECONDS", 1e-9)
    for _ in progress_bar([5, 6], desc="layers", progress=False):
        assert list(progress_bar(range(3), desc="targets", progress=False, leave=False)) == [0, 1, 2]
    assert [line.partition(",")[0] for line in told.messages] == [
        "targets: 1 of 3",
        "targets: 2 of 3",
        "layers: 1 of 2",
        "targets: 1 of 3",
        "targets: 2 of 3",
    ]


def test_what_takes_less_than_a_minute_has_no_line(told):
    assert list(progress_bar(range(3), desc="layers", progress=False)) == [0, 1, 2]
    assert told.messages == []


def test_no_lines_where_stages_are_not_told_nor_beside_a_bar(caplog, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 1e-9)
    with caplog.at_level(logging.WARNING, "zerounlearn.stages"):
        list(progress_bar(range(3), desc="layers", progress=False))
    with caplog.at_level(logging.INFO, "zerounlearn.stages"):
        list(progress_bar(range(3), desc="layers", progress=True))
    assert caplog.messages == [] and "3/3" in capsys.readouterr().err


def test_a_terminal_decides_where_nothing_else_does(told, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 1e-9)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    list(progress_bar(range(3), desc="layers"))
    assert told.messages == [] and "3/3" in capsys.readouterr().err
