"""The numbers of every method on a tiny seeded model are those that were recorded with the present versions.

After a change that is meant to change numbers raise SCORING or METHOD in experiments/running/versions.py and record
anew: ``python -m tests.experiments.running.record_runs``.
"""

import json

import pytest

from baselines.registry import METHODS
from experiments.running.versions import METHOD, SCORING
from tests.experiments.running.record_runs import RECORD, scores_of
from tests.experiments.small import Workplace

pytestmark = pytest.mark.untraced

TOLERANCE = 1e-3
"""Relative, of a probability: above what other machines' float32 sums do to a run, below what a change of code does."""

RECORDED = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return Workplace(tmp_path_factory.mktemp("recorded"))


def test_the_record_is_of_the_present_versions():
    assert RECORDED["versions"] == {"scoring": SCORING, "method": METHOD}
    assert RECORDED["scores"].keys() == METHODS.keys()


@pytest.mark.parametrize("method", METHODS)
def test_numbers_change_with_a_version_only(work, monkeypatch, method):
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(work.folder / "stats"))
    found, recorded = scores_of(work, method), RECORDED["scores"][method]
    assert found["case_ids"] == recorded["case_ids"]
    for side in ("ppl", "before", "after"):
        assert found[side] == pytest.approx(recorded[side], rel=TOLERANCE), (
            f"{side}: the numbers are not those recorded: raise SCORING or METHOD in versions.py if they are "
            "meant to change, and record anew"
        )
