"""Where folders are looked for."""

from pathlib import Path

import pytest

from util import paths


def test_the_home_folder_is_filled_in(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.expanded("~/data") == paths.data_dir("~/data") == tmp_path / "data"


@pytest.mark.parametrize("place", [paths.data_dir, paths.stats_dir, paths.results_dir])
def test_a_tilde_before_no_users_name_stays(place):
    """Path's own expanduser raised RuntimeError, a traceback."""
    assert place("~nosuchuser/x") == Path("~nosuchuser/x")
    assert paths.model_dir("~nosuchuser/m") is None and paths.model_dir("m", "~nosuchuser/x") is None
