"""suggest_hparams.py: names from the model, layers from what it knows, the rest from another model's file."""

import json

import pytest

import dsets
from baselines.registry import METHODS, method
from experiments import suggest_hparams
from experiments.tracing import suggesting
from experiments.tracing.suggesting import adapted
from tests.experiments.known import saved
from tests.tiny import MODULE_NAMES, TINY
from util import modeling, paths
from util.errors import UserError
from util.hparams import LayerHParams
from zerounlearn import HParams

LAYERED = [name for name in METHODS if issubclass(method(name).HParams, LayerHParams)]


@pytest.fixture
def asked(tmp_path, family):
    """Flags for a tiny model and facts, of which it knows twelve."""
    _, facts = saved(*TINY[family](), tmp_path, 12)
    return [
        "--model_name=tiny",
        f"--model_path_dir={tmp_path}",
        f"--facts={facts}",
        f"--output={tmp_path / 'out.json'}",
        f"--data_dir={tmp_path / 'data'}",
        "--quiet",
    ]


def test_a_trace_chooses_the_layers(asked, tmp_path, family, capsys):
    suggest_hparams.main(asked)
    written = HParams.from_json(tmp_path / "out.json")
    published = HParams.from_json(paths.hparams_dir() / "ZeroUnlearn" / "Llama-3.1-8B-Instruct.json")
    assert written.model_dump() == published.model_dump() | MODULE_NAMES[family] | {
        "layers": written.layers,
        "v_loss_layer": 3,
    }
    printed = capsys.readouterr()
    assert "causal trace of 12 known facts" in printed.out and str(tmp_path / "out.json") in printed.out
    assert "usual share" not in printed.err


def test_the_layers_are_where_the_trace_is_largest(asked, tmp_path, monkeypatch):
    seen = {}

    def effects(found, kind):
        seen["facts"], seen["positions"] = len(found), {one.positions == (one.fact.last,) for one in found}
        return {"last subject token": {"effect": [0.1, 0.0, 0.4, 0.3]}}

    monkeypatch.setattr(suggesting, "mean_effects", effects)
    suggest_hparams.main(asked)
    assert HParams.from_json(tmp_path / "out.json").layers == [2]
    assert seen == {"facts": 12, "positions": {True}}


@pytest.mark.untraced
@pytest.mark.parametrize("alg_name", LAYERED)
def test_every_method_gets_a_file_it_can_read(asked, tmp_path, alg_name, monkeypatch):
    monkeypatch.setattr(suggesting, "traced_layers", lambda *_, **__: ([1, 2], "told"))
    suggest_hparams.main([*asked, f"--alg_name={alg_name}"])
    written = method(alg_name).HParams.from_json(tmp_path / "out.json")
    like = method(alg_name).HParams.from_json(paths.hparams_dir() / alg_name / "Llama-3.1-8B-Instruct.json")
    expected = {1: [2], 3: [1, 2], 32: [0, 1, 2, 3]}[len(like.layers)]
    assert written.layers == expected


def test_too_few_known_facts_are_said_and_the_depth_decides(asked, tmp_path, capsys):
    facts = json.loads((tmp_path / "facts.json").read_text())[:9]
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    suggest_hparams.main(asked)
    printed = capsys.readouterr()
    assert "knows 9 of 9 facts, a causal trace needs 10; the layers are the usual share" in printed.err
    assert "no trace" in printed.out and HParams.from_json(tmp_path / "out.json").layers == [2]


def test_facts_that_cannot_be_had_are_told_before_the_model_is_loaded(asked, monkeypatch):
    monkeypatch.setattr(modeling, "load", None)
    with pytest.raises(UserError, match="absent.json"):
        suggest_hparams.main([*asked, "--facts=absent.json"])


def test_where_no_facts_are_named_none_are_fetched(asked, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(suggesting, "TRIED", 20)
    monkeypatch.setattr(dsets, "fetch", lambda *_: pytest.fail("fetched facts"))
    suggest_hparams.main([flag for flag in asked if not flag.startswith("--facts")])
    assert "of 20 facts" in capsys.readouterr().err and [*(tmp_path / "data" / "known").glob("real-traced-*")]


def test_an_existing_file_is_kept(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(suggesting, "traced_layers", lambda *_, **__: ([1], "told"))
    (tmp_path / "out.json").write_text("mine")
    with pytest.raises(UserError, match="--force"):
        suggest_hparams.main(asked)
    assert (tmp_path / "out.json").read_text() == "mine"
    suggest_hparams.main([*asked, "--force"])
    assert HParams.from_json(tmp_path / "out.json").layers == [1]


def test_the_default_place_is_where_evaluate_looks(asked, tmp_path, monkeypatch, capsys):
    real = paths.hparams_dir()
    (tmp_path / "hparams").mkdir()
    (tmp_path / "hparams" / "ZeroUnlearn").symlink_to(real / "ZeroUnlearn")
    monkeypatch.setenv("ZEROUNLEARN_HPARAMS", str(tmp_path / "hparams"))
    monkeypatch.setattr(suggest_hparams, "write_json", lambda path, value: print("writes", path))
    suggest_hparams.main([flag for flag in asked if not flag.startswith("--output")])
    assert f"writes {tmp_path / 'hparams' / 'ZeroUnlearn' / 'tiny.json'}" in capsys.readouterr().out


def test_the_default_model_starts_from_its_own_file(asked, tmp_path, monkeypatch):
    """The defaults run; a tiny model stands in for the embedded one, which knows nothing of its world."""
    loaded = modeling.load("tiny", tmp_path, "cpu")
    monkeypatch.setattr(modeling, "load", lambda name, *_: loaded if name == modeling.WORLD else None)
    monkeypatch.setattr(suggesting, "TRIED", 20)
    suggest_hparams.main([f"--output={tmp_path / 'world.json'}", f"--data_dir={tmp_path / 'data'}"])
    assert HParams.from_json(tmp_path / "world.json").mom2_dataset == "world"


def test_what_cannot_be_done_is_said(asked, tmp_path):
    for flags, words in (
        ([f"--output={tmp_path / 'facts.json' / 'out.json'}"], "cannot be written; choose another --output"),
        ([f"--output={tmp_path}", "--force"], "is a folder"),
        (["--alg_name=BASE"], "edits no layers"),
        (["--alg_name=nobody"], "unknown method"),
        (["--like=Nothing-1B"], "Nothing-1B.json does not exist"),
    ):
        with pytest.raises(UserError, match=words):
            suggest_hparams.main([*asked, *flags])


@pytest.mark.parametrize(
    ("name", "model_type", "depth"),
    [("Llama-3.1-8B-Instruct", "llama", 32), ("Llama-3.2-3B-Instruct", "llama", 28), ("Qwen3-4B", "qwen3", 36)],
)
def test_the_usual_depth_gives_the_published_layers(name, model_type, depth):
    model, _ = TINY["llama"]()
    model.config.model_type, model.config.num_hidden_layers = model_type, depth
    published = HParams.from_json(paths.hparams_dir() / "ZeroUnlearn" / f"{name}.json")
    assert suggesting.usual_layers(model, "for want of facts")[0] == published.layers


def test_a_file_adapted_to_its_own_model_stays_as_it_is():
    path = paths.hparams_dir() / "ZeroUnlearn" / "Llama-3.1-8B-Instruct.json"
    like = json.loads(path.read_text(encoding="utf-8"))
    again = adapted(like, MODULE_NAMES["llama"], [19, 20, 21], 32)
    assert again == like and list(again) == list(like)


def test_the_overlap_of_keys_is_looked_at_where_there_are_texts(asked, tmp_path, monkeypatch, capsys):
    """Facts about others beside the known ones, and an overlap that rules out where the trace is largest."""
    facts = json.loads((tmp_path / "facts.json").read_text())
    others = [{"prompt": "{} is", "subject": f"Somebody {i}", "target_true": "nonesuch thing"} for i in range(5)]
    (tmp_path / "facts.json").write_text(json.dumps(facts + others))
    effect = {"last subject token": {"effect": [0.1, 0.3, 0.4, 0.2]}}
    monkeypatch.setattr(suggesting, "mean_effects", lambda *_: effect)
    real, seen = suggesting.layer_overlaps, []

    def spied(model, tokenizer, forgotten, known, texts, *rest, **options):
        found = real(model, tokenizer, forgotten, known, texts, *rest, **options)
        seen.append((len(forgotten), len(known), len(texts), len(found)))
        return [0.1, 0.2, 0.9, 0.8]

    monkeypatch.setattr(suggesting, "layer_overlaps", spied)
    for fewest, layers in ((6, [2]), (5, [1])):
        monkeypatch.setattr(suggesting, "FEWEST_TEXTS", fewest)
        suggest_hparams.main([*asked, "--force"])
        assert HParams.from_json(tmp_path / "out.json").layers == layers
        out = capsys.readouterr().out
        assert ("keys are farther away" in out) == (fewest == 5) and ("was not measured" in out) == (fewest == 6)
    assert seen == [(6, 6, 5, 4)]
