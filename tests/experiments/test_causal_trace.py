"""causal_trace.py from the command line, and what it makes of the numbers."""

import json
import sys

import pytest
import torch

from dsets import Record
from experiments import causal_trace
from experiments.running import knowing
from experiments.tracing import heatmap
from experiments.tracing.effects import how_many_layers, mean_effects, suggested_layers
from experiments.tracing.report import table
from experiments.tracing.restoring import Traced
from experiments.tracing.traced_facts import PLACES, SUBJECT_LAST, KnownFact, as_fact
from tests.experiments.known import saved
from tests.tiny import TINY, tokenizer
from util import modeling, runs
from util.errors import UserError
from util.likelihood import Answered

PNG = b"\x89PNG\r\n"


@pytest.fixture
def asked(tmp_path, family):
    """Flags for a tiny model that knows a few facts."""
    model, facts = saved(*TINY[family](), tmp_path, 6)
    return [
        "--model_name=tiny",
        f"--model_path_dir={model.parent}",
        f"--ds_name={facts}",
        "--facts=5",
        "--samples=2",
        f"--output={tmp_path / 'out'}",
        f"--data_dir={tmp_path / 'data'}",
    ]


def test_the_subjects_last_token_alone(asked, tmp_path, monkeypatch):
    """The same numbers at that token, none elsewhere; what the model knows is not asked again."""
    causal_trace.main([*asked, "--skip_plot", "--quiet"])
    path = tmp_path / "out" / "tiny_facts_seed0.json"
    everywhere = json.loads(path.read_text())
    monkeypatch.setattr(knowing, "known_facts", None)
    causal_trace.main([*asked, "--skip_plot", "--tokens=subject_last"])
    there = json.loads(path.read_text())
    assert there["case_ids"] == everywhere["case_ids"] and there["tried"] == everywhere["tried"]
    assert there["suggested_layers"] == everywhere["suggested_layers"]
    for kind, effects in there["effects"].items():
        assert {place for place, effect in effects.items() if effect} == {SUBJECT_LAST}
        expected = everywhere["effects"][kind][SUBJECT_LAST]["effect"]
        assert effects[SUBJECT_LAST]["effect"] == pytest.approx(expected, rel=1e-3, abs=1e-7)


def test_numbers_heat_map_and_suggestion(asked, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    causal_trace.main(asked)
    report = json.loads((tmp_path / "out" / "tiny_facts_seed0.json").read_text())
    assert (tmp_path / "out" / "tiny_facts_seed0.png").read_bytes().startswith(PNG)
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json", ".png"]
    assert report["facts"] == len(report["case_ids"]) == 5 and report["settings"]["samples"] == 2
    assert report["total_effect"] == pytest.approx(report["clean"] - report["blurred"])
    for kind in ("state", "mlp", "attention"):
        assert list(report["effects"][kind]) == list(PLACES)
        assert len(report["effects"][kind][SUBJECT_LAST]["effect"]) == 4
    # at the prompt's last token the last layer's state is the whole clean answer
    ends = report["effects"]["state"]["last token"]
    assert ends["effect"][-1] == pytest.approx(report["total_effect"], rel=1e-4) or ends["facts"] < 5
    printed = capsys.readouterr().out
    assert f"suggested layers: {report['suggested_layers'][0]}\n" in printed and "last subject token" in printed


def test_a_seed_gives_the_same_numbers_and_another_does_not(asked, tmp_path):
    found = []
    for seed, batch_tokens in ((1, "auto"), (1, "40"), (2, "auto")):
        causal_trace.main(
            [*asked, "--quiet", "--skip_plot", "--kinds=mlp", f"--seed={seed}", f"--batch_tokens={batch_tokens}"]
        )
        report = json.loads((tmp_path / "out" / f"tiny_facts_seed{seed}.json").read_text())
        found.append(torch.tensor(report["effects"]["mlp"][SUBJECT_LAST]["effect"]))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-3)
    assert not torch.allclose(found[0], found[2], atol=1e-5)
    assert not list((tmp_path / "out").glob("*.png"))


def test_what_cannot_be_done_is_said(asked, tmp_path, monkeypatch):
    for flags, words in (
        (["--facts=0"], "--facts 0"),
        (["--noise=-1"], "--noise -1"),
        (["--noise=nan"], "--noise nan"),
        (["--noise=inf"], "--noise inf"),
        ([f"--seed={10**20}"], "at most 9 digits"),
        ([f"--output={tmp_path / 'tiny' / 'config.json'}"], "another --output"),
        (["--window=0"], "--window 0"),
        (["--kinds", "magic"], "magic"),
        (["--ds_name", str(unknown(tmp_path))], "knows none of the 1 facts"),
    ):
        with pytest.raises(UserError, match=words):
            causal_trace.main([*asked, "--skip_plot", *flags])
    monkeypatch.setattr(runs, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="requirements-extra.txt"):
        causal_trace.main(asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "words"), [(["--ds_name=absent.json"], "absent.json"), (["--model_name=Absent"], "Absent")]
)
def test_bad_input_is_told_before_the_model_is_loaded(asked, monkeypatch, flags, words):
    monkeypatch.setattr(modeling, "load", lambda *_: pytest.fail("the model was loaded first"))
    with pytest.raises(UserError, match=words):
        causal_trace.main([*asked, "--skip_plot", *flags])


def unknown(folder):
    path = folder / "unknown.json"
    path.write_text(json.dumps([{"prompt": "{} is", "subject": "Ada", "target_true": "東京"}]), encoding="utf-8")
    return path


def test_the_trace_itself_needs_no_matplotlib(asked, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    causal_trace.main([*asked, "--quiet", "--skip_plot"])
    assert (tmp_path / "out" / "tiny_facts_seed0.json").exists()


def test_the_embedded_model_keeps_its_facts_in_layer_1_at_the_subjects_last_token(tmp_path):
    """The defaults, but for the number of runs."""
    causal_trace.main(["--facts=12", "--samples=2", "--kinds=mlp", "--skip_plot", "--quiet", f"--output={tmp_path}"])
    report = json.loads((tmp_path / "world_mcf_seed0.json").read_text())
    assert report["suggested_layers"] == [1] and report["clean"] > 0.9 and report["blurred"] < 0.4
    effects = {place: values["effect"][1] for place, values in report["effects"]["mlp"].items() if values}
    assert effects.pop(SUBJECT_LAST) > 5 * max(effects.values())


# --- places and means


@pytest.mark.parametrize(
    ("prompt", "subject", "places"),
    [
        ("{} is", "Ada Lovelace of London", [0, 1, 1, 2, 5]),
        ("So {} is now", "Ada Lovelace", [0, 2, 3, 5]),
        ("So {} is here and now", "Ada", [2, 3, 4, 4, 5]),
        ("Here is {}", "Ada Lovelace", [0, 2]),
    ],
)
def test_places(prompt, subject, places):
    """One token a word, so that the places can be read off."""
    words = prompt.replace("{}", subject).split()
    first = prompt.split().index("{}")
    fact = KnownFact(0, Answered((0,) * len(words), (0,)), first, first + len(subject.split()) - 1)
    assert [PLACES.index(fact.place(position)) for position in fact.traced()] == places


def test_a_record_as_a_fact():
    tok = tokenizer(bos=True, pad=False)
    record = Record(case_id=3, prompt="It is {} who plays", subject="Ada Lovelace", target_true="violin music")
    first, whole = as_fact(tok, record), as_fact(tok, record, whole_answer=True)
    assert tok.decode(whole.row.ids[whole.first : whole.last + 1]).strip() == "Ada Lovelace"
    assert tok.decode(whole.row.prompt, skip_special_tokens=True) == record.text
    assert (
        tok.decode(whole.row.answer) == " violin music"
        and len(whole.row.ids) == len(whole.row.prompt) + len(whole.row.answer) - 1
    )
    assert first.row.answer == whole.row.answer[:1] and first.row.ids == first.row.prompt


def fact(length, first, last):
    return KnownFact(0, Answered((0,) * length, (0,)), first, last)


def test_means_are_over_facts_and_within_a_fact_over_tokens():
    one = Traced(
        fact(5, 0, 3),
        0.9,
        0.1,
        {"mlp": torch.tensor([[0.1, 0.2], [0.3, 0.1], [0.5, 0.1], [0.4, 0.1], [0.9, 0.9]])},
        range(5),
    )
    other = Traced(fact(2, 0, 0), 0.9, 0.2, {"mlp": torch.tensor([[0.5, 0.2], [0.2, 0.2]])}, range(2))
    means = mean_effects([one, other], "mlp")
    assert means["middle subject tokens"]["effect"] == pytest.approx([0.3, 0.0], abs=1e-6)
    assert means[SUBJECT_LAST]["effect"] == pytest.approx([0.3, 0.0], abs=1e-6) and means[SUBJECT_LAST]["facts"] == 2
    assert means[SUBJECT_LAST]["standard_error"] == pytest.approx([0.0, 0.0], abs=1e-7)
    assert means["last token"]["effect"] == pytest.approx([0.4, 0.4]) and means["further tokens"] is None
    assert means["last token"]["standard_error"] == pytest.approx([0.4, 0.4])


def test_a_map_without_any_effect_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    effects = {place: {"effect": [-0.1, -0.2]} for place in PLACES}
    heatmap.draw(
        {"model_name": "a", "facts": 1, "settings": {"window": 1}, "effects": {"state": effects}}, tmp_path / "a"
    )
    assert (tmp_path / "a").read_bytes().startswith(PNG)


@pytest.mark.parametrize(("depth", "count"), [(1, 1), (4, 1), (12, 1), (16, 2), (28, 3), (32, 3), (36, 3), (80, 3)])
def test_number_of_layers(depth, count):
    assert how_many_layers(depth) == count


def test_the_best_neighbours_are_suggested():
    peak = [0.0] * 10 + [0.9] + [0.0] * 8 + [0.5, 0.6, 0.5] + [0.0] * 8
    effects = {SUBJECT_LAST: {"effect": peak}}
    assert suggested_layers({"state": {SUBJECT_LAST: {"effect": [1.0] * 30}}, "mlp": effects}) == ([19, 20, 21], "mlp")
    assert suggested_layers({"attention": effects})[1] == "attention"


def test_a_place_without_tokens_stays_white(tmp_path):
    pytest.importorskip("matplotlib")
    effects = dict.fromkeys(PLACES) | {SUBJECT_LAST: {"effect": [0.1, 0.2]}}
    report = {"model_name": "a/b", "facts": 1, "settings": {"window": 3}, "effects": {"mlp": effects}}
    heatmap.draw(report, tmp_path / "new" / "map.png")
    assert (tmp_path / "new" / "map.png").read_bytes().startswith(PNG)
    assert "(no such token traced)" in table(report | {"tried": 1, "seconds": 1.0, "clean": 0.5, "blurred": 0.1})
