"""kill -9 of a whole unlearn.py with a ledger, wherever it stands: nothing half-written, and the ledger goes on."""

import json
import os
import subprocess
import sys

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


def endings(orders, **environment):
    """Orders of `killing` → how they ended."""
    program = [sys.executable, "-m", "tests.experiments.requests.killing", json.dumps(orders)]
    done = subprocess.run(
        program, cwd=root(), env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def kinds(ledger):
    return [json.loads(path.read_text())["kind"] for path in sorted((ledger / "records").iterdir())]


def test_a_killed_command_is_given_again(shared, tmp_path):
    """Killed wherever it stands, it ends as one that was let be, with the same weights; no record is written twice but
    that a model was made."""
    facts = make_place(tmp_path)
    first, second = ({"id": name, **facts[number]} for name, number in (("a", 0), ("b", 5)))

    def command(ledger, out):
        paths = {"ledger": tmp_path / ledger, "save_model": tmp_path / out, "report": tmp_path / f"{out}-report"}
        return argv(tmp_path, tmp_path, first, second, hparams_fname=strong(shared), quiet="", **paths)

    orders = [["", command("other", "let")], *([point, command("ledger", "early")] for point in EARLIER.values())]
    orders += [[WRITTEN, command("ledger", "late")], ["", command("ledger", "again")]]
    ended = endings(orders, ZEROUNLEARN_STATS=str(shared.folder / "stats"))
    assert ended == [3, *[-9] * (len(EARLIER) + 1), 3]
    assert not any((tmp_path / name).exists() for name in ("early", "early-report", "late-report"))
    assert weights_in(tmp_path / "late") == weights_in(tmp_path / "again") == weights_in(tmp_path / "let")
    assert kinds(tmp_path / "other") == ["terms", "requests", "model"]
    assert kinds(tmp_path / "ledger") == ["terms", "requests", "model", "model", "model"]
