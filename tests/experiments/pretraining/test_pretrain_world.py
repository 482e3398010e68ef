"""Making the embedded model: rescaled without a change of function, loadable, described as it was measured."""

import json
import logging
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from dsets import world
from dsets.world.datasets import make_records
from experiments.measuring.scoring import score
from experiments.pretrain_world import main, parse
from experiments.pretraining.card import command
from experiments.pretraining.model import BOS_ID, EOS_ID, PAD_ID, new_model, rescale
from experiments.pretraining.pretrain_settings import PretrainSettings
from experiments.pretraining.world_report import recall, trace
from tests.experiments.pretraining.tiny_run import FLAGS, TINY
from util.errors import UserError
from util.paths import model_dir


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a finished tiny run."""
    work = tmp_path_factory.mktemp("made")
    main([*FLAGS, f"--work={work}", "--save_every=4"])
    return work


# --- the finished model


def test_rescaling_keeps_the_function():
    model = new_model(TINY, 500).double()
    ids = torch.arange(3, 40).unsqueeze(0)
    before = model(ids, output_hidden_states=True)
    rescale(model, 16.0)
    after = model(ids, output_hidden_states=True)
    torch.testing.assert_close(after.logits, before.logits, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(16 * after.hidden_states[1], before.hidden_states[1], rtol=1e-9, atol=1e-9)


def test_written_folder_loads_as_any_model(made):
    folder = made / "model"
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert model.dtype is torch.bfloat16 and model.config.model_type == "llama"
    assert (folder / "model.safetensors").stat().st_size <= 15_000_000
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    ids = tokenizer("Nils Delgado was born in").input_ids
    assert ids[0] == BOS_ID == tokenizer.bos_token_id and ids.count(BOS_ID) == 1 and EOS_ID not in ids
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (EOS_ID, PAD_ID) and tokenizer.is_fast
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Nils Delgado was born in"
    config = model.config
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (BOS_ID, EOS_ID, PAD_ID)
    assert sorted(file.name for file in folder.iterdir()) == [
        "MODEL_CARD.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_card_tells_command_and_numbers(made):
    card = (made / "model" / "MODEL_CARD.md").read_text()
    written = json.loads((made / "measurements.json").read_text())
    assert command(TINY) in card and written["made"]["world"] in card
    assert f"{written['numbers']['heldout_ppl']:.3f}" in card
    assert all(f"| {name} |" in card for name in written["numbers"]["recall"])


def test_finished_command_only_measures_anew(made, caplog):
    before = (made / "model" / "model.safetensors").read_bytes()
    with caplog.at_level(logging.INFO):
        main([*FLAGS, f"--work={made}"])
    assert (made / "model" / "model.safetensors").read_bytes() == before


def test_command_gives_the_settings_back():
    assert command(PretrainSettings()) == "python experiments/pretrain_world.py"
    arguments = parse(command(TINY).split()[2:])
    assert {name: getattr(arguments, name) for name in vars(TINY)} == vars(TINY)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--steps=0"], "--steps 0: give 1 or more"),
        (["--hidden=30"], "--hidden 30 --heads 8"),
        (["--heads=8", "--kv_heads=3"], "multiple of the key/value heads"),
        (["--border=4"], "--border 4: give 1 to 3"),
        (["--world_scale=0.01"], "--world_scale 0.01: give 0.05"),
        (["--masked=1.5"], "--masked 1.5: give 0 to 1"),
    ],
)
def test_impossible_settings(flags, complaint):
    with pytest.raises(UserError, match=complaint):
        parse(flags)


# --- measurements


def test_recall_counts_whole_answers(tokenizer, monkeypatch):
    model = new_model(TINY, len(tokenizer)).eval()
    pairs = [("Nils was born in", "Velmar"), ("Nils was born in", "San Ledo")]
    assert recall(model, tokenizer, pairs) == 0.0
    said = score(model, tokenizer, pairs, batch_tokens=100)
    flags = ((True, True), (True, False))
    half = {pair: replace(said[pair], correct=right) for pair, right in zip(pairs, flags, strict=True)}
    monkeypatch.setattr("experiments.pretraining.world_report.score", lambda *_args, **_options: half)
    assert recall(model, tokenizer, pairs) == 0.5


def test_trace_has_a_row_per_layer(tokenizer, known):
    rows = trace(new_model(TINY, len(tokenizer)).eval(), tokenizer, known, 0)
    assert [row["layer"] for row in rows] == [0, 1, 2]
    assert all(row["norm"] > 0 and 0 <= row["recall_without"] <= 1 for row in rows)


# --- the shipped model


def test_shipped_model_is_of_this_world():
    card = (model_dir("world") / "MODEL_CARD.md").read_text()
    assert world.digest() in card
    assert (model_dir("world") / "model.safetensors").stat().st_size <= 15_000_000


# --- an oracle


def records_of(name, known, count):
    """The first records of one of the world's data sets, as a file holds them."""
    return make_records(name, known, TINY.seed)[:count]


def test_an_oracle_is_trained_measured_and_described(known, tmp_path, made):
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(records_of("mcf", known, 3)))
    numbers = main([*FLAGS, f"--work={tmp_path / 'work'}", f"--without={file}"])
    assert "facts left out, all templates" in numbers["recall"]
    card = (tmp_path / "work" / "model" / "MODEL_CARD.md").read_text()
    assert "An oracle: 3 facts" in card and "--without FILE" in card
    assert "An oracle" not in (made / "model" / "MODEL_CARD.md").read_text()
    name = "tokenizer.json"
    assert (tmp_path / "work" / "model" / name).read_text() == (made / "model" / name).read_text()


def test_a_state_of_another_world_is_refused(known, tmp_path, made):
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(records_of("mcf", known, 3)))
    with pytest.raises(UserError, match="other settings"):
        main([*FLAGS, f"--work={made}", f"--without={file}"])
