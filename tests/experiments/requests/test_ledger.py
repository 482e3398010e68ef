"""The ledger: what stands decides the model and nothing else; the chain holds; a killed command can be repeated."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from experiments.requests import ledger as module
from experiments.requests.ledger import open_ledger
from experiments.requests.ledger_terms import terms_of
from tests.experiments.requests.small_edit import HPARAMS
from tests.tiny import REQUESTS, TEMPLATES, moments_for, tiny_llama
from util.editing import setting
from util.errors import UserError
from util.paths import root
from util.weights import weights_hash

FACTS = [replace(fact, case_id=name) for fact, name in zip(REQUESTS, "abc", strict=True)]


@pytest.fixture(scope="module")
def given():
    """(model, tokenizer, moments, terms)."""
    model, tokenizer = tiny_llama()
    moments = moments_for(model, HPARAMS.rewrite_modules())
    terms = terms_of(model, tokenizer, "MEMIT", HPARAMS, moments=moments, templates=TEMPLATES)
    return model, tokenizer, moments, terms


def solved(ledger, given, stored_as=None):
    """Hash of the model that has forgotten what stands; the model as before."""
    model, tokenizer, moments, _ = given
    edits = ledger.solve(model, tokenizer, moments=moments, stored_as=stored_as)
    found = weights_hash(model)
    edits.undo(model)
    return found


def test_the_model_hangs_on_what_stands_alone(given, tmp_path):
    """Other steps, another order, a request that came and went: the same bits."""
    with open_ledger(tmp_path / "one", given[3]) as ledger:
        ledger.add(FACTS)
        ledger.withdraw(["b"])
        wanted = solved(ledger, given)
    with open_ledger(tmp_path / "two", given[3]) as ledger:
        ledger.add([FACTS[2]])
        first = solved(ledger, given)
        ledger.add([FACTS[1]])
        second = solved(ledger, given)
        ledger.withdraw(["b"])
        assert solved(ledger, given) == first
        ledger.add([FACTS[0]])
        assert solved(ledger, given) == wanted
    assert len({wanted, first, second, given[3].weights}) == 4


def test_with_all_withdrawn_the_model_is_the_base(given, tmp_path):
    with open_ledger(tmp_path, given[3]) as ledger:
        ledger.add(FACTS[:1])
        assert solved(ledger, given) != given[3].weights
        ledger.withdraw(["a"])
        assert solved(ledger, given) == given[3].weights


def test_it_goes_on_where_it_was(given, tmp_path):
    with open_ledger(tmp_path, given[3]) as ledger:
        ledger.add(FACTS[:2])
        ledger.withdraw(["a"])
        head, wanted = ledger.head, ledger.ordered()
    with open_ledger(tmp_path, given[3], head) as ledger:
        assert ledger.ordered() == wanted == [FACTS[1]] and ledger.withdrawn == {"a"}


def test_a_further_request_costs_its_own_search_only(given, tmp_path, monkeypatch):
    searched = []
    search = setting.find_targets
    monkeypatch.setattr(setting, "find_targets", lambda *a, **o: searched.extend(a[2]) or search(*a, **o))
    with open_ledger(tmp_path, given[3]) as ledger:
        for fact in FACTS:
            ledger.add([fact])
            solved(ledger, given)
    assert searched == FACTS


def test_a_command_can_be_repeated(given, tmp_path):
    with open_ledger(tmp_path, given[3]) as ledger:
        assert ledger.add(FACTS[:2]) == ["a", "b"] and ledger.add(FACTS[:2]) == []
        assert ledger.withdraw(["a", "a"]) == ["a"] and ledger.withdraw(["a"]) == []
        assert len(ledger.chain.records) == 3
        assert ledger.add(FACTS) == ["a", "c"]


def test_ids_are_told_apart(given, tmp_path):
    with open_ledger(tmp_path, given[3]) as ledger:
        ledger.add(FACTS[:1])
        for twice in ([replace(FACTS[1], case_id="a")], [FACTS[1], replace(FACTS[2], case_id="b")]):
            with pytest.raises(UserError, match="stands in the ledger with another fact"):
                ledger.add(twice)
        with pytest.raises(UserError, match="no request 'b' in ledger"):
            ledger.withdraw(["a", "b"])
        assert list(ledger.standing) == ["a"] and len(ledger.chain.records) == 2


def test_other_terms_and_another_model_are_refused(given, tmp_path):
    model, tokenizer, moments, terms = given
    with open_ledger(tmp_path, terms) as ledger:
        ledger.add(FACTS[:1])
        other, _ = tiny_llama(seed=1)
        with pytest.raises(UserError, match="not the base of this ledger"):
            ledger.solve(other, tokenizer, moments=moments)
    for changes, named in (({"seed": 5}, "seed"), ({"alg_name": "ROME", "weights": "0"}, "weights and alg_name")):
        with (
            pytest.raises(UserError, match=f"was begun with another {named}"),
            open_ledger(tmp_path, replace(terms, **changes)),
        ):
            pass


def test_another_model_for_the_same_requests_is_refused_and_undone(given, tmp_path, monkeypatch):
    """In one environment the weights are the same bits, or something is wrong; in another one they need not be."""
    model, tokenizer, moments, terms = given
    with open_ledger(tmp_path, terms) as ledger:
        ledger.add(FACTS[:1])
        solved(ledger, given)
        skewed = {name: 1.5 * C for name, C in moments.items()}
        with pytest.raises(UserError, match="names another model for the same requests"):
            ledger.solve(model, tokenizer, moments=skewed)
        assert weights_hash(model) == terms.weights and len(ledger.chain.records) == 3
        monkeypatch.setattr(module, "_environment", lambda model: {"torch": "another"})
        ledger.solve(model, tokenizer, moments=skewed).undo(model)
        assert len(ledger.chain.records) == 4


def test_a_rounded_model_is_compared_with_those_of_its_dtype(given, tmp_path, caplog):
    """As are those of earlier versions, which rounded after the record: theirs name no dtype, and are of float32."""
    model, tokenizer, moments, terms = given
    with open_ledger(tmp_path, terms) as ledger:
        ledger.add(FACTS[:1])
        found = [solved(ledger, given, dtype) for dtype in (None, torch.bfloat16, torch.float32, torch.bfloat16)]
        assert found[0] == found[2] != found[1] == found[3]
        noted = [record.body for record in ledger.chain.records if record.kind == "model"]
        assert [body["weights"] for body in noted] == found
        assert [body["environment"].get("stored_as") for body in noted] == [None, "bfloat16"] * 2
        assert caplog.text.count("another model for the same requests") == 1, "where a dtype comes for the first time"
        skewed = {name: 1.5 * C for name, C in moments.items()}
        for dtype in (None, torch.bfloat16):
            with pytest.raises(UserError, match="names another model for the same requests"):
                ledger.solve(model, tokenizer, moments=skewed, stored_as=dtype)
        assert weights_hash(model) == terms.weights and len(ledger.chain.records) == 6


# --- the chain


@pytest.fixture
def kept(given, tmp_path):
    """A ledger's folder with four records."""
    with open_ledger(tmp_path / "ledger", given[3]) as ledger:
        for fact in FACTS:
            ledger.add([fact])
    return tmp_path / "ledger"


def rewrite(kept, number, change):
    path = kept / "records" / f"{number:06d}.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda kept: rewrite(kept, 2, lambda values: values["body"].update(requests=[])), "was changed after"),
        (lambda kept: (kept / "records" / "000003.json").unlink(), "stands where record 3 should"),
        (lambda kept: (kept / "records" / "000004.json").unlink(), "HEAD names a record"),
        (lambda kept: (kept / "records" / "000004.json").write_text("{}"), "is no record"),
        (lambda kept: (kept / "records" / "000005.json").write_text("[]"), "is no record"),
        (lambda kept: (kept / "records" / "note.txt").write_text("x"), "stands where record 5 should"),
        (lambda kept: (kept / "HEAD").write_text("1" * 64), "HEAD names a record"),
        (lambda kept: (kept / "HEAD").unlink(), "HEAD names a record"),
    ],
)
def test_a_chain_that_was_touched_is_refused(kept, given, spoil, words):
    spoil(kept)
    with pytest.raises(UserError, match=words), open_ledger(kept, given[3]):
        pass


def test_a_record_of_a_fork_is_refused(kept, given, tmp_path):
    """Two copies that went on apart, mixed."""
    fork = tmp_path / "fork"
    shutil.copytree(kept, fork)
    for folder, gone in ((kept, ["a"]), (fork, ["b"])):
        with open_ledger(folder, given[3]) as ledger:
            ledger.withdraw(gone)
    with open_ledger(kept, given[3]) as ledger:
        ledger.withdraw(["c"])
    shutil.copy(fork / "records" / "000005.json", kept / "records" / "000005.json")
    with pytest.raises(UserError, match="record 6 does not follow"), open_ledger(kept, given[3]):
        pass


def test_an_older_state_is_noticed_by_who_kept_the_head(kept, given):
    with pytest.raises(UserError, match="not in 111111111111… as expected"), open_ledger(kept, given[3], "1" * 64):
        pass


def test_two_processes_do_not_have_it_at_once(kept, given):
    refusal = pytest.raises(UserError, match="in use by another process")
    with open_ledger(kept, given[3]), refusal, open_ledger(kept, given[3]):
        pass
    with open_ledger(kept, given[3]) as ledger:
        assert len(ledger.standing) == 3


def test_a_head_that_lags_by_one_is_a_process_that_was_killed(kept, given):
    head = kept / "HEAD"
    before = json.loads((kept / "records" / "000003.json").read_text(encoding="utf-8"))["hash"]
    wanted = head.read_text(encoding="utf-8")
    head.write_text(before + "\n", encoding="utf-8")
    with open_ledger(kept, given[3]) as ledger:
        assert len(ledger.standing) == 3
    assert head.read_text(encoding="utf-8") == wanted


APPENDS = """
import sys
from pathlib import Path
from experiments.requests.ledger_records import open_chain
with open_chain(Path(sys.argv[1])) as chain:
    while True:
        print(chain.append("requests", {"requests": []}).number, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_whole_chain(kept, given):
    """kill -9 while records are being written: the next process finds all that were told as written, and goes on."""
    told = 4
    for wait in (0.0, 0.003, 0.011):
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDS, str(kept)], cwd=root(), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert int(process.stdout.readline()) == told + 1
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().splitlines()
        process.wait()
        told = int(lines[-1]) if lines else told + 1
        with open_ledger(kept, given[3]) as ledger:
            assert told <= len(ledger.chain.records) <= told + 1
            assert len(ledger.standing) == 3
            told = len(ledger.chain.records)


def test_a_fact_under_two_ids_is_solved_once_and_stays_until_both_are_withdrawn(given, tmp_path):
    twin = replace(FACTS[0], case_id="twin")
    with open_ledger(tmp_path / "one", given[3]) as ledger:
        ledger.add(FACTS[:1])
        wanted = solved(ledger, given)
        ledger.add([twin])
        assert ledger.ordered() == FACTS[:1] and solved(ledger, given) == wanted
        ledger.withdraw(["a"])
        assert ledger.ordered() == [twin] and solved(ledger, given) == wanted
        ledger.withdraw(["twin"])
        assert not ledger.ordered()


def test_a_protected_fact_steps_back_where_its_subject_is_to_be_forgotten(given, tmp_path):
    terms = replace(given[3], protected=(FACTS[1], replace(FACTS[0], prompt="{} is", subject=FACTS[0].subject.upper())))
    with open_ledger(tmp_path, terms) as ledger:
        assert ledger.protected() == list(terms.protected)
        ledger.add(FACTS[:1])
        assert ledger.protected() == [FACTS[1]]
        ledger.withdraw(["a"])
        assert ledger.protected() == list(terms.protected)
