"""A place for runs, made once per file of tests; each test has its own results."""

import pytest

from tests.experiments.small import Workplace


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return Workplace(tmp_path_factory.mktemp("workplace"))


@pytest.fixture
def work(shared, monkeypatch, tmp_path):
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(shared.folder / "stats"))
    shared.results = tmp_path / "results"
    return shared
