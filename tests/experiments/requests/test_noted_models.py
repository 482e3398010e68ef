"""The model that unlearn.py writes is the one that its ledger and its report name; a broken one is nowhere."""

import json
from pathlib import Path

import pytest
import torch

from experiments import patch
from experiments import unlearn as script
from experiments.requests.unlearning import opened
from tests.experiments.small import hparams_of
from tests.experiments.unlearnable import argv, make_place, strong
from util import modeling
from util.errors import UserError
from util.weights import weights_hash


def records(ledger):
    """(kind, body) of each."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((ledger / "records").glob("*"))]
    return [(one["kind"], one["body"]) for one in found]


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
def test_the_ledger_notes_the_model_that_is_written(work, tmp_path, stored, caplog):
    """It noted the one before rounding. Its patches compose, and lead to what it notes."""
    facts, ledger = make_place(tmp_path), tmp_path / "ledger"
    source = tmp_path / "models" / "Tiny"
    modeling.load(str(source), device="cpu")[0].to(getattr(torch, stored)).save_pretrained(source)

    def noted(name, *requests, **changes):
        """Of a call: what the ledger's last record says, which must be what the report and the folder say."""
        out = {"save_model": tmp_path / name, "report": tmp_path / f"{name}-report"}
        out["save_patch"] = tmp_path / f"{name}.safetensors"
        own = {"ledger": ledger, "hparams_fname": strong(work), "dtype": "float32"}
        script.main(argv(tmp_path, tmp_path, *requests, **own | out | changes))
        made = json.loads((out["report"] / "report.json").read_text(encoding="utf-8"))["provenance"]
        kind, body = records(ledger)[-1]
        written = weights_hash(modeling.load(str(tmp_path / name), device="cpu")[0])
        assert kind == "model" and body["weights"] == made["weights_after"] == written
        assert made["stored_as"] == stored
        assert body["environment"].get("stored_as") == (stored if stored != "float32" else None)
        patch.main(["verify", "--patch", str(out["save_patch"]), "--model_name", str(source)])
        return body["weights"]

    one = noted("one", {"id": "a", **facts[0]})
    two = noted("two", {"id": "b", **facts[5]})
    assert noted("back", withdraw="b") == one != two
    assert "another model for the same requests" not in caplog.text
    both = [str(tmp_path / f"{name}.safetensors") for name in ("one", "two")]
    patch.main(["compose", *both, "--output", str(tmp_path / "sum.safetensors"), "--model_name", str(source)])
    patch.main(["verify", "--patch", str(tmp_path / "sum.safetensors"), "--model_name", str(source)])


@pytest.mark.parametrize("kept", [False, True], ids=["alone", "ledger"])
def test_a_broken_model_is_refused_before_anything_is_written(work, tmp_path, monkeypatch, kept):
    """With a ledger it was written, and the ledger told of it."""
    facts, ledger, seen = make_place(tmp_path), tmp_path / "ledger", []
    path = Path(hparams_of(work, "FT"))
    values = json.loads(path.read_text(encoding="utf-8")) | {"lr": 1000.0, "num_steps": 25, "norm_constraint": None}
    path.write_text(json.dumps(values), encoding="utf-8")
    whole = opened.open_model

    def open_model(*given):
        seen.append(whole(*given))
        return seen[-1]

    monkeypatch.setattr(opened, "open_model", open_model)
    own = {"alg_name": "FT", "hparams_fname": path, "dtype": "float16"}
    own |= {"ledger": ledger if kept else None, "save_patch": tmp_path / "a.patch"}
    other = "another --alg_name" + (" with a new --ledger" if kept else "")
    with pytest.raises(UserError, match=f"FT cannot unlearn these requests: .* not finite; .* {other}") as error:
        script.main(argv(tmp_path, tmp_path, {"id": "a", **facts[0]}, **own))
    assert "\n" not in str(error.value)
    assert not any((tmp_path / name).exists() for name in ("out", "report", "a.patch"))
    assert [kind for kind, _ in records(ledger)] == (["terms", "requests"] if kept else [])
    assert weights_hash(seen[0].model) == seen[0].weights
