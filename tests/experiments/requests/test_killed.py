"""kill -9 of a whole unlearn.py with a ledger, wherever it stands: nothing half-written, and the ledger goes on."""

import json
import os
import subprocess
import sys

import pytest

from tests.experiments.requests.small_edit import weights_in
from tests.experiments.unlearnable import argv, make_place, strong
from util.paths import root

RECORDS, UNLEARNING = "experiments.requests.ledger_records", "experiments.requests.unlearning"
EARLIER = {
    "the first record is there, its head is not": f"{RECORDS}:write_text",
    "before the record of the requests": f"{RECORDS}:write_json",
    "the requests are recorded, the head is not": f"{RECORDS}:write_text",
    "at the second search for targets": "util.editing.setting:find_targets/2",
    "while weights are edited": "util.weights:WeightEdits.write",
    "the model is made and not recorded": "experiments.requests.ledger:Ledger._note",
    "the model's folder is half written": f"{UNLEARNING}.model_folder:_name_dtype",
}
"""Each where the one before has left the ledger."""
WRITTEN = "experiments.requests.unlearning.unlearning_job:Job.report"
"""The model is written, its report is not."""


@pytest.fixture
def run(shared, tmp_path):
    """Orders of `killing` → how they ended."""

    def go(orders):
        environment = os.environ | {"ZEROUNLEARN_STATS": str(shared.folder / "stats")}
        program = [sys.executable, "-m", "tests.experiments.requests.killing", json.dumps(orders)]
        done = subprocess.run(program, cwd=root(), env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    return go


def test_a_killed_command_is_given_again(shared, run, tmp_path):
    """Killed wherever it stands, it ends as one that was let be, with the same weights and no more records."""
    facts = make_place(tmp_path)
    first, second = ({"id": name, **facts[number]} for name, number in (("a", 0), ("b", 5)))

    def command(ledger, **flags):
        paths = {"hparams_fname": strong(shared), "ledger": tmp_path / ledger, "quiet": ""}
        return argv(tmp_path, tmp_path, first, second, **paths | flags)

    let_be = ["", command("other", save_model=tmp_path / "let", report=tmp_path / "let-report")]
    killed = [[point, command("ledger")] for point in EARLIER.values()]
    assert run([let_be, *killed]) == [3, *[-9] * len(killed)]
    assert not (tmp_path / "out").exists() and not (tmp_path / "report").exists()
    again = ["", command("ledger", save_model=tmp_path / "again")]
    assert run([[WRITTEN, command("ledger")], again]) == [-9, 3]
    assert weights_in(tmp_path / "out") == weights_in(tmp_path / "again") == weights_in(tmp_path / "let")
    records = [len(list((tmp_path / ledger / "records").iterdir())) for ledger in ("ledger", "other")]
    assert records == [3, 3], "the terms, the requests, the model"
