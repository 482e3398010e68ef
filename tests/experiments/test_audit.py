"""audit.py from its command line, on tiny models; what it refuses."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from experiments import audit
from experiments.auditing.attack_registry import ATTACKS
from tests.experiments.known import saved
from tests.tiny import tiny_llama
from util.errors import UserError
from util.paths import root

SOME = ["paraphrases", "forms", "rank", "lens", "depth", "int8", "drop_top", "member_loss"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """(folder, model before, model after with a broken matrix, facts that the former knows)."""
    folder = tmp_path_factory.mktemp("audit")
    before, facts = saved(*tiny_llama(max_position_embeddings=256), folder, 5)
    after = folder / "after"
    shutil.copytree(before, after)
    weights = load_file(after / "model.safetensors")
    name = "model.layers.3.mlp.down_proj.weight"
    weights[name] = torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(0)) * 3
    save_file(weights, after / "model.safetensors", metadata={"format": "pt"})
    return folder, before, after, facts


def arguments(place, folder, **changes) -> list[str]:
    _, before, after, facts = place
    flags = {"before": before, "after": after, "facts": facts, "output": folder, "device": "cpu"} | changes
    return ["--quiet", *(part for name, value in flags.items() for part in (f"--{name}", str(value)))]


def test_it_writes_figures_and_a_page(place, tmp_path, capsys):
    audit.main([*arguments(place, tmp_path / "out"), "--attacks", *SOME])
    found = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert found["verdict"] in ("forgotten", "hidden", "still there")
    assert found["known"] == 5 and found["controls"] == 100
    assert {"prompt", "forms", "lens", "depth", "int8"} <= found["attacks"].keys()
    for one in found["attacks"].values():
        assert 0 <= one["interval"][0] <= one["recovered"] <= one["interval"][1] <= 100
        assert 0 <= one["chance"] <= 100
        assert 1 <= one["n"] <= 5
    assert found["worst"]["attack"] in found["attacks"]
    assert not found["attacks"].keys() & found["skipped"].keys()
    assert found["attacks"].keys() | found["skipped"].keys() == {"prompt", *SOME}
    assert "<svg" in (tmp_path / "out" / "audit.html").read_text()
    assert str(tmp_path / "out" / "audit.json") in capsys.readouterr().out


def test_an_interrupted_audit_goes_on_where_it_was(place, tmp_path, monkeypatch):
    flags = [*arguments(place, tmp_path), "--attacks", "forms"]
    audit.main(flags)
    first = json.loads((tmp_path / "audit.json").read_text())

    def never(_audited):
        raise AssertionError("asked again")

    for name in ("prompt", "forms"):
        monkeypatch.setitem(ATTACKS, name, ATTACKS[name].__class__(never, ATTACKS[name].about))
    audit.main(flags)
    assert json.loads((tmp_path / "audit.json").read_text()) == first
    with pytest.raises(AssertionError, match="asked again"):
        audit.main([*flags, "--seed", "1"])


def test_an_oracle_is_told_and_another_one_asks_anew(place, tmp_path):
    flags = [*arguments(place, tmp_path), "--attacks", "member_loss"]
    results = []
    for oracle in ([], ["--oracle", str(place[2])]):
        audit.main([*flags, *oracle])
        results.append(json.loads((tmp_path / "audit.json").read_text()))
    against = [one["attacks"]["member_loss"]["details"]["against"] for one in results]
    assert against == ["controls", "oracle"]
    assert "oracle" not in results[0]["made_from"]["key"] and results[1]["made_from"]["oracle"] == str(place[2])
    assert f"oracle {place[2]}" in (tmp_path / "audit.html").read_text()


def test_one_seed_gives_one_result(place, tmp_path):
    found = []
    for name in ("one", "other"):
        audit.main([*arguments(place, tmp_path / name), "--attacks", "rank", "lens"])
        result = json.loads((tmp_path / name / "audit.json").read_text())
        for one in result["attacks"].values():
            del one["seconds"]
        found.append(result)
    assert found[0] == found[1]


def test_what_cannot_be_audited_is_said(place, tmp_path):
    folder, before, _, facts = place
    unknown = folder / "unknown.json"
    unknown.write_text(json.dumps([{"prompt": "{} is", "subject": "Ada", "target_true": "xyzzy plugh"}]))
    for name, changes in {"other": {"num_hidden_layers": 2}, "wide": {"hidden_size": 32}}.items():
        other, tokenizer = tiny_llama(**changes)
        other.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    for changes, said in {
        (("facts", unknown),): "knows none of the 1 facts",
        (("after", folder / "other"),): "--after are not of one shape: layers 4 and 2",
        (("oracle", folder / "other"),): "--oracle are not of one shape: layers 4 and 2",
        (("after", folder / "wide"),): r"not of one shape: .*embed_tokens.weight \(420, 24\) and \(420, 32\)",
        (("after", folder / "nowhere"),): "nowhere",
        (("oracle", folder / "gone"),): "gone",
        (("output", facts / "under"),): "--output",
        (("limit", 0),): "give at least 1",
        (("budget", "0"),): "'0' is no number of seconds above 0",
        (("budget", "soon"),): "'soon' is no number of seconds above 0",
    }.items():
        with pytest.raises(UserError, match=said):
            audit.main(arguments(place, tmp_path, **dict(changes)))
    with pytest.raises(UserError, match="no attack is called 'telepathy'; there are prompt, "):
        audit.main([*arguments(place, tmp_path), "--attacks", "telepathy"])


def test_a_broken_model_is_refused(place, tmp_path):
    folder, before, _, _ = place
    broken = folder / "broken"
    shutil.copytree(before, broken, dirs_exist_ok=True)
    weights = load_file(broken / "model.safetensors")
    save_file({name: one * torch.nan for name, one in weights.items()}, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="not finite"):
        audit.main(arguments(place, tmp_path, after=broken))


def test_help_needs_no_torch():
    code = "import sys; from experiments import audit; audit.parser().format_help(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root(), check=False).returncode == 0
