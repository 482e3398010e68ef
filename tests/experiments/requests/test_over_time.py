"""The table and the picture of requests that arrive over time, from figures that are told here."""

import pytest

from experiments.arrivals import table
from experiments.requests.over_time_plot import draw_curves

BASE = {"facts": 4.0, "earlier": None, "latest": 100.0, "specificity": 100.0, "retain": 100.0, "ppl": 3.094}
STEPS = [{**BASE, "facts": 2.0 * step, "earlier": 0.0, "latest": 50.0, "ppl": 3.1, "seconds": 1.0} for step in (1, 2)]
CURVES = {"ledger": [BASE, *STEPS], "alphaedit": [BASE, *({**one, "ppl": None} for one in STEPS)]}


def test_the_table_has_the_base_and_the_last_step_of_each_arm():
    base, ledger, other = (
        [cell.strip() for cell in line.strip("|").split("|")] for line in table(CURVES).splitlines()[2:5]
    )
    assert base == ["base", "4", "", "100.0", "", "100.0", "100.0", "3.09", ""]
    assert ledger == ["ledger, step 2", "4", "0.0", "50.0", "", "100.0", "100.0", "3.10", "1.0"]
    assert other[0] == "alphaedit, step 2" and other[7] == ""


def test_the_picture_shows_every_arm(tmp_path):
    pytest.importorskip("matplotlib")
    draw_curves(CURVES, "Tiny", tmp_path / "arrivals.svg")
    text = (tmp_path / "arrivals.svg").read_text(encoding="utf-8")
    assert "ledger (joint)" in text and "AlphaEdit, earlier keys" in text and "repeated" not in text
