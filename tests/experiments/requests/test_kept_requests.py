"""unlearn.py --ledger from its command line: what a ledger leaves alone, and that a withdrawal gives the same bits."""

import json
from pathlib import Path

from experiments import unlearn as script
from tests.experiments.unlearnable import argv, make_place, strong


def test_a_ledger_leaves_existing_subjects_alone_and_a_withdrawal_leaves_no_trace(work, tmp_path, caplog):
    """It handed the method none, and a warning came that nobody could mend."""
    facts, ledger = make_place(tmp_path), tmp_path / "ledger"
    path = Path(strong(work, "ZeroUnlearn_Local"))
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"neighbors_per_template": 3}), encoding="utf-8")

    def weights_of(name, *requests, **changes):
        """model.safetensors of a call that writes the model to a folder of this name."""
        given = {"ledger": ledger, "hparams_fname": path, "alg_name": "ZeroUnlearn_Local"} | changes
        script.main(argv(tmp_path, tmp_path, *requests, save_model=tmp_path / name, **given))
        return (tmp_path / name / "model.safetensors").read_bytes()

    one = weights_of("one", {"id": "a", **facts[0]})
    two = weights_of("two", {"id": "b", **facts[5]})
    assert weights_of("back", withdraw="b") == one != two
    assert "neighbors_per_template" not in caplog.text
    terms = json.loads((ledger / "records" / "000001.json").read_text(encoding="utf-8"))["body"]
    assert terms["neighbors"] and 2 * len(terms["neighbors"]) <= len({fact["subject"] for fact in facts})
