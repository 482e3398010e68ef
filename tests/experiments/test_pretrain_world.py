"""Making the embedded model: resumable, masked as said, rescaled without a change of function, loadable."""

import json
import logging
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import dsets
from dsets import world
from dsets.world.datasets import make_records
from experiments.measuring.scoring import score
from experiments.pretrain_world import main, parse
from experiments.pretraining import world_report
from experiments.pretraining.batches import Sequence, encode, epoch_batches, subject_masks
from experiments.pretraining.card import command
from experiments.pretraining.left_out import left_out
from experiments.pretraining.model import BOS_ID, EOS_ID, PAD_ID, new_model, rescale, train_tokenizer
from experiments.pretraining.pretrain_settings import PretrainSettings
from experiments.pretraining.training import loss_of, rate, train
from experiments.pretraining.world_report import recall, trace
from util.errors import UserError
from util.paths import model_dir
from util.tokens import pad

TINY = PretrainSettings(
    steps=6, batch_tokens=512, hidden=32, layers=3, intermediate=48, heads=4, vocab=500, border=2, world_scale=0.05
)
FLAGS = [f"--{name}={getattr(TINY, name)}" for name in TINY.__dataclass_fields__]
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def few():
    """What is measured of a model is measured on few facts: its values say nothing here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_report, "TRACED", 20)
        patch.setattr(world_report, "UNKNOWN", 40)
        yield


@pytest.fixture(scope="module")
def known():
    return world.make_world(scale=TINY.world_scale)


@pytest.fixture(scope="module")
def tokenizer(known):
    return train_tokenizer([document.text for document in world.documents(known, 0)], TINY.vocab)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a finished tiny run."""
    work = tmp_path_factory.mktemp("made")
    main([*FLAGS, f"--work={work}", "--save_every=4"])
    return work


def same(first, second):
    return all(torch.equal(weight, second.state_dict()[name]) for name, weight in first.state_dict().items())


# --- training


def test_resumed_equals_uninterrupted(known, tokenizer, tmp_path):
    whole, _ = train(TINY, tokenizer, known, tmp_path / "whole.safetensors", CPU)
    for stop in (2, 3, None):
        parts, _ = train(TINY, tokenizer, known, tmp_path / "parts.safetensors", CPU, stop_after=stop)
        assert same(parts, whole) == (stop is None)


def test_interrupted_between_saves_goes_back_to_the_last(known, tokenizer, tmp_path, monkeypatch):
    whole, _ = train(TINY, tokenizer, known, tmp_path / "whole.safetensors", CPU)
    calls = []

    def interrupted(*arguments):
        calls.append(None)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return loss_of(*arguments)

    monkeypatch.setattr("experiments.pretraining.training.loss_of", interrupted)
    state = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(TINY, tokenizer, known, state, CPU, save_every=3)
    assert same(train(TINY, tokenizer, known, state, CPU, save_every=3)[0], whole)
    assert len(calls) == 5 + 3


def test_state_of_other_settings_is_refused(known, tokenizer, tmp_path):
    state = tmp_path / "state.safetensors"
    train(TINY, tokenizer, known, state, CPU, stop_after=1)
    other = PretrainSettings(**(vars(TINY) | {"matrix_lr": 0.01}))
    with pytest.raises(UserError, match=r"state\.safetensors is from a run with other settings"):
        train(other, tokenizer, known, state, CPU)


def test_seed_decides_weights_and_batches(known, tokenizer):
    other = PretrainSettings(**(vars(TINY) | {"seed": 1}))
    state = torch.random.get_rng_state()
    assert same(new_model(TINY, 500), new_model(TINY, 500))
    assert not same(new_model(TINY, 500), new_model(other, 500))
    assert torch.equal(state, torch.random.get_rng_state())
    assert epoch_batches(TINY, tokenizer, known, 0) == epoch_batches(TINY, tokenizer, known, 0)
    assert epoch_batches(TINY, tokenizer, known, 0) != epoch_batches(TINY, tokenizer, known, 1)
    assert epoch_batches(TINY, tokenizer, known, 0) != epoch_batches(other, tokenizer, known, 0)


def test_training_lowers_the_loss(known, tokenizer, tmp_path):
    settings = PretrainSettings(**(vars(TINY) | {"steps": 40}))
    [batch, *_] = epoch_batches(settings, tokenizer, known, 0)
    before = loss_of(new_model(settings, len(tokenizer)), batch, 2, CPU).item()
    model, seconds = train(settings, tokenizer, known, tmp_path / "state.safetensors", CPU)
    assert loss_of(model, batch, 2, CPU).item() < 0.85 * before
    assert seconds > 0


def test_rate_is_constant_then_falls_to_zero():
    settings = PretrainSettings(steps=10, constant=0.4)
    assert [rate(step, settings) for step in range(5)] == [1.0] * 5
    assert rate(7, settings) == pytest.approx(0.5) and rate(10, settings) == 0.0


# --- batches and the mask


def test_batches_hold_every_document_within_the_budget(known, tokenizer):
    batches = epoch_batches(TINY, tokenizer, known, 0)
    rows = encode(tokenizer, world.documents(known, 0))
    assert sorted(sequence.ids for batch in batches for sequence in batch) == sorted(ids for ids, _ in rows)
    assert all(len(batch) * max(len(sequence.ids) for sequence in batch) <= TINY.batch_tokens for batch in batches)
    sequences = [sequence for batch in batches for sequence in batch]
    assert 0.75 < sum(sequence.masked for sequence in sequences) / len(sequences) < 0.95


def test_encoded_documents_begin_once_and_end(known, tokenizer):
    documents = world.documents(known, 0)[:50]
    for document, (ids, spans) in zip(documents, encode(tokenizer, documents)):
        assert ids[0] == BOS_ID and ids[-1] == EOS_ID and ids.count(BOS_ID) == ids.count(EOS_ID) == 1
        names = [document.text[begin:end] for begin, end in document.subjects]
        assert [tokenizer.decode(ids[first : last + 1]).strip() for first, last in spans] == names


def test_mask_hides_the_subject_from_what_follows():
    batch = [
        Sequence(ids=[1, 5, 6, 7, 8, 2], subjects=[(1, 2)], masked=True),
        Sequence(ids=[1, 5, 6, 7, 8, 2], subjects=[(1, 2)], masked=False),
    ]
    below, above = subject_masks(batch, 6, CPU)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()
    assert torch.equal(below[1, 0], causal) and torch.equal(above[1, 0], causal)
    assert not below[0, 0, 3:, 1:3].any() and not above[0, 0, 3:, 1].any() and above[0, 0, 3:, 2].all()
    assert torch.equal(below[0, 0, :3], causal[:3]) and torch.equal(above[0, 0, :3], causal[:3])
    assert below[0, 0, 3:, 0].all() and torch.equal(below[0, 0, 3:, 3:], causal[3:, 3:])


def test_unmasked_loss_is_the_models_own():
    model = new_model(TINY, 500)
    rows = [[1, 40, 41, 42, 2], [1, 50, 51, 2]]
    loss = loss_of(model, [Sequence(ids=row, subjects=[(1, 1)], masked=False) for row in rows], 2, CPU)
    batch = pad(rows, PAD_ID)
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    own = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
    assert loss.item() == pytest.approx(own.item(), rel=1e-2)  # bfloat16 against float32


def test_below_the_border_nothing_reads_the_subject():
    """With every layer below the border, what follows a subject predicts the same whatever the subject is."""
    model = new_model(TINY, 500).double()
    rows = [[1, 40, 41, 42, 2], [1, 50, 51, 42, 2]]
    states = []
    for border in (3, 2):
        sequences = [Sequence(ids=row, subjects=[(1, 2)], masked=True) for row in rows]
        states.append([state_behind(model, [sequence], border) for sequence in sequences])
    assert states[0][0] == states[0][1]
    assert states[1][0] != states[1][1]


def state_behind(model, batch, border):
    """The final state at the last predicting position, which stands behind the subject."""
    seen = {}
    handle = model.model.norm.register_forward_hook(lambda _module, arguments, _output: seen.update(h=arguments[0]))
    loss_of(model, batch, border, CPU)
    handle.remove()
    return seen["h"][-1].tolist()


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


@pytest.mark.parametrize("name", ["mcf", "zsre", "mquake"])
def test_a_world_without_facts_says_nothing_that_gives_them(name, tmp_path):
    known = world.make_world()
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(records_of(name, known, 12)))
    records = dsets.load(str(file)).records
    absent = left_out(records, known)
    assert {(fact.subject, fact.object) for fact in absent} == {(one.subject, one.target_true) for one in records}
    oracles = known.without({(fact.relation.name, fact.subject) for fact in absent})
    assert set(known.facts) - set(oracles.facts) == set(absent)
    gone = set(known.chains) - set(oracles.chains)
    assert gone == {chain for chain in known.chains if chain.first in absent or chain.second in absent}
    told = "\n".join(document.text for document in world.documents(oracles, 0))
    for fact in absent:
        for template in fact.relation.templates:
            assert f"{template.replace('{}', fact.subject)} {fact.object}." not in told
    assert any(fact.subject in told for fact in oracles.facts)


def test_no_invented_subject_gets_a_name_of_the_facts_left_out():
    known = world.make_world(scale=0.05)
    everything = {(fact.relation.name, fact.subject) for fact in known.facts}
    assert known.without(everything).kinds == known.kinds


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


@pytest.mark.parametrize(
    ("change", "named"),
    [({"subject": "Nobody At All"}, "no fact"), ({"target_true": {"str": "Atlantis", "id": "W"}}, "no fact")],
)
def test_facts_of_elsewhere_cannot_be_left_out(change, named, known, tmp_path):
    (record,) = records_of("mcf", known, 1)
    record["requested_rewrite"] |= change
    file = tmp_path / "facts.json"
    file.write_text(json.dumps([record]))
    with pytest.raises(UserError, match=named):
        left_out(dsets.load(str(file)).records, known)


def test_two_facts_with_one_answer_are_told_apart_by_the_prompt():
    facts = [fact for fact in world.make_world().facts if fact.relation.name in ("birthplace", "residence")]
    born = next(fact for fact in facts if fact.relation.name == "birthplace")
    lives = next(fact for fact in facts if fact.relation.name == "residence" and fact.subject == born.subject)
    known = replace(world.make_world(), facts=(born, replace(lives, object=born.object)))
    record = dsets.Record(case_id=0, prompt=lives.relation.templates[0], subject=born.subject, target_true=born.object)
    assert [fact.relation.name for fact in left_out([record], known)] == ["residence"]
    with pytest.raises(UserError, match="several facts"):
        left_out([replace(record, prompt="Of {} it is said:")], known)


def test_says_how_far_it_is_where_no_bar_is_drawn(known, tokenizer, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    train(TINY, tokenizer, known, tmp_path / "state.safetensors", CPU, save_every=4)
    said = [line for line in caplog.messages if line.startswith("training:")]
    assert ["step 4 of 6 saved" in said[0], "step 6 of 6 saved, about 0 min left" in said[1]] == [True, True]
