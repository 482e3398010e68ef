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
    monkeypatch.setattr(progress, "SECONDS", 0)
    with progress_bar(desc="facts", progress=False, **options) as bar:
        bar.update()
        bar.update()
    assert len(told.messages) >= 2 and all(re.fullmatch(line, one) for one in told.messages)
    assert capsys.readouterr().err == ""


def test_an_iterable_is_counted(told, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0)
    assert list(progress_bar([5, 6], desc="layers", progress=False)) == [5, 6]
    assert told.messages[-1].startswith("layers: 2 of 2") or told.messages[-1].startswith("layers: 1 of 2")


def test_what_takes_less_than_a_minute_has_no_line(told):
    assert list(progress_bar(range(3), desc="layers", progress=False)) == [0, 1, 2]
    assert told.messages == []


def test_no_lines_where_stages_are_not_told_nor_beside_a_bar(caplog, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0)
    with caplog.at_level(logging.WARNING, "zerounlearn.stages"):
        list(progress_bar(range(3), desc="layers", progress=False))
    with caplog.at_level(logging.INFO, "zerounlearn.stages"):
        list(progress_bar(range(3), desc="layers", progress=True))
    assert caplog.messages == [] and "3/3" in capsys.readouterr().err


def test_a_terminal_decides_where_nothing_else_does(told, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    list(progress_bar(range(3), desc="layers"))
    assert told.messages == [] and "3/3" in capsys.readouterr().err
