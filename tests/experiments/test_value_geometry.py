"""value_geometry.py from the command line."""

import json

import pytest
import torch

from experiments import value_geometry
from tests.experiments.small import Workplace
from tests.tiny import tiny_llama
from util import modeling, runs
from util.errors import UserError
from util.request import Request
from util.weights import read_weight


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """Flags for a tiny model and 24 facts."""
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    place = Workplace(tmp_path)
    named = ("model_name", "model_path_dir", "hparams_fname", "ds_name", "device")
    flags = dict(zip(place.arguments()[::2], place.arguments()[1::2], strict=True))
    kept = [part for name in named for part in (f"--{name}", flags[f"--{name}"])]
    return [*kept, "--counts", "3", "1", "--others=5", f"--output={tmp_path / 'out.json'}"]


def report(tmp_path):
    return json.loads((tmp_path / "out.json").read_text())


def test_every_layer_and_count_is_measured_and_shown(asked, tmp_path, capsys):
    value_geometry.main(asked)
    found = report(tmp_path)
    assert list(found["layers"]) == ["0", "1", "2", "3"] and found["facts"]["forget"] == 3
    for layer in found["layers"].values():
        assert -1 <= layer["cosine_of_values"] <= 1
        assert {count: one["rank"] for count, one in layer["forgotten"].items()} == {"1": 1, "3": 3}
        assert all(0 <= one[name] <= 1 for one in layer["forgotten"].values() for name in ("mean", "others", "centred"))
    printed = capsys.readouterr().out
    assert "cos values" in printed and "3 facts" in printed and "out.json" in printed


def test_values_are_those_of_the_module(asked, tmp_path):
    """At one layer, with the numbers made anew from the facts' own texts."""
    from experiments.geometry import measuring_values
    from util.editing.keys import ModuleSite, plain

    value_geometry.main([*asked, "--layers=2", "--quiet"])
    model, tok = tiny_llama()
    seen = []
    with pytest.MonkeyPatch.context() as patched:
        real = measuring_values.Drawn.of
        patched.setattr(measuring_values.Drawn, "of", lambda *given: seen.append(real(*given)) or seen[0])
        value_geometry.main([*asked, "--layers=2", "--quiet"])
    name = "model.layers.2.mlp.down_proj"
    W = read_weight(model, name)
    values = [
        W @ plain(model, tok, some, ModuleSite(name, inputs=True), 500) for some in (seen[0].forget, seen[0].others)
    ]
    Q = torch.linalg.qr(values[0]).Q
    expected = ((Q.T @ values[1]).norm(dim=0) / values[1].norm(dim=0)).square().mean().item()
    assert report(tmp_path)["layers"]["2"]["forgotten"]["3"]["others"] == pytest.approx(expected, rel=1e-4)
    assert all(
        isinstance(one, Request) and one.subject not in {fact.subject for fact in seen[0].forget}
        for one in seen[0].invented
    )


def test_searched_directions_are_others_than_the_values(asked, tmp_path):
    found = []
    for sensitive in ("values", "search"):
        value_geometry.main([*asked, "--layers=1", "--quiet", f"--sensitive={sensitive}"])
        found.append(report(tmp_path)["layers"]["1"])
    assert found[0]["cosine_of_values"] == found[1]["cosine_of_values"]
    assert found[0]["forgotten"]["3"]["rank"] == found[1]["forgotten"]["3"]["rank"] == 3
    assert abs(found[0]["forgotten"]["3"]["others"] - found[1]["forgotten"]["3"]["others"]) > 1e-3


def test_a_figure(asked, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "figures" / "values.svg"
    value_geometry.main([*asked, "--quiet", f"--plot={path}"])
    first = path.read_bytes()
    assert b"<svg" in first and b"energy of other facts removed" in first
    value_geometry.main([*asked, "--quiet", f"--plot={path}"])
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--layers=4"], "outside 0 to 3"),
        (["--layers=-1"], "outside 0 to 3"),
        (["--counts", "0"], "--counts 0"),
        (["--counts", "40"], "smaller --counts"),
        (["--others=1"], "--others 1"),
        (["--hparams_fname=none.json"], "none.json"),
    ],
)
def test_what_cannot_be_measured_is_said(asked, flags, words):
    with pytest.raises(UserError, match=words):
        value_geometry.main([*asked, *flags])


@pytest.mark.parametrize("flag", ["output", "plot"])
def test_a_folder_for_a_file_is_told_before_the_work(asked, tmp_path, monkeypatch, flag):
    monkeypatch.setattr(modeling, "load", None)
    with pytest.raises(UserError, match=f"is a folder; name a file with --{flag}"):
        value_geometry.main([*asked, f"--{flag}={tmp_path}"])


def test_the_figure_needs_matplotlib(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="leave --plot out"):
        value_geometry.main([*asked, f"--plot={tmp_path / 'a.svg'}"])
