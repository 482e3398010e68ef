"""ParaRel and `relations`: folders as upstream lays them out, read where they are, fetched where they are not."""

import functools
import hashlib
import http.server
import json
import threading

import pytest

from dsets import load
from dsets.by_relation import ParaRel, Relations, collection
from dsets.by_relation.pararel import FACTS, PATTERNS, object_last
from dsets.download import HOST_VARIABLE
from util.errors import UserError
from util.paths import root

SHARED = root().parent / "shared" / "data"
CAPITALS = [("France", "Paris"), ("Gaul", "Paris"), ("Spain", "Madrid"), ("Bolivia", "Sucre"), ("Bolivia", "La Paz")]
TEMPLATES = ["[X]'s capital is [Y] .", "[Y] is the capital of [X].", "The capital  of [X] is [Y].", "[X] is [X] or [Y]"]


def pararel(root, name="P36", pairs=CAPITALS, templates=TEMPLATES):
    """Writes one relation's two files."""
    rows = [{"sub_label": subject, "obj_label": answer, "uuid": str(i)} for i, (subject, answer) in enumerate(pairs)]
    for folder, lines in ((PATTERNS, [{"pattern": one, "lemma": "x"} for one in templates]), (FACTS, rows)):
        path = root / folder / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def relation(root, name="country_capital_city", **changes):
    """Writes one relation's file."""
    row = {"name": "country capital", "prompt_templates": ["The capital of {} is"]}
    row |= {"prompt_templates_zs": ["What is the capital of {}? It is", "The capital of {} is"]}
    row |= {"samples": [{"subject": subject, "object": answer} for subject, answer in CAPITALS]} | changes
    path = root / "data" / "factual" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row), encoding="utf-8")


def by_subject(dataset):
    return {record.subject: record for record in dataset.records}


def test_pararel_records(tmp_path):
    pararel(tmp_path / "pararel")
    dataset = load("pararel", tmp_path)
    records = by_subject(dataset)
    assert dataset.metric == "counterfact" and set(records) == {"France", "Gaul", "Spain"}
    france = records["France"]
    assert (france.case_id, france.relation_id, france.prompt) == ("P36-0", "P36", "{}'s capital is")
    assert france.paraphrases == ("The capital of France is",)
    assert [(probe.prompt, probe.answer) for probe in france.neighborhood] == [("Gaul's capital is", "Paris")]
    assert france.target_new == "Madrid" and records["Spain"].neighborhood == ()
    assert dataset.skipped == {"the subject has several objects": ["P36-3"]}
    assert dataset.notes["no neighbourhood prompt"] == ["P36-2"]


def test_relations_records(tmp_path):
    relation(tmp_path / "relations")
    france = by_subject(load("relations", tmp_path))["France"]
    assert (france.text, france.relation_id) == ("The capital of France is", "country capital")
    assert france.paraphrases == ("What is the capital of France? It is",)


def test_a_letter_given_as_its_escape_is_read_as_the_letter(tmp_path):
    pairs = [
        (r"Colombia", r"Bogot\u00e1"),
        (r"S\u00e3o Tom\u00e9", "São Tomé city"),
        ("smile", r"\ud83d\ude00 C:\users"),
    ]
    relation(tmp_path / "relations", samples=[{"subject": subject, "object": answer} for subject, answer in pairs])
    dataset = load("relations", tmp_path)
    found = {record.subject: record.target_true for record in dataset.records}
    assert found == {"Colombia": "Bogotá", "São Tomé": "São Tomé city", "smile": "\U0001f600 C:\\users"}


def test_the_digest_tells_readings_apart(tmp_path, monkeypatch):
    relation(tmp_path / "relations")
    digest = load("relations", tmp_path).digest
    monkeypatch.setattr(Relations, "reading", "")
    assert load("relations", tmp_path).digest != digest


@pytest.mark.parametrize(("name", "write"), [("pararel", pararel), ("relations", relation)])
def test_empty_names_are_counted_and_do_not_move_the_others_places(tmp_path, name, write):
    pairs = [("France", "Paris"), ("", "Rome"), ("Spain", " "), ("Gaul", "Paris"), ("Gaul", ""), ("Bolivia", "Sucre")]
    samples = [{"subject": subject, "object": answer} for subject, answer in pairs]
    write(tmp_path / name, **({"pairs": pairs} if name == "pararel" else {"samples": samples}))
    dataset, of = load(name, tmp_path), "P36" if name == "pararel" else "country capital"
    assert {record.subject: record.case_id for record in dataset.records} == {
        "France": f"{of}-0",
        "Gaul": f"{of}-3",
        "Bolivia": f"{of}-5",
    }
    assert dataset.skipped == {"the subject or the object is empty": [f"{of}-1", f"{of}-2", f"{of}-4"]}


def test_the_facts_of_a_relation_without_a_usable_template_are_counted(tmp_path):
    pararel(tmp_path / "pararel", "P36")
    pararel(tmp_path / "pararel", "P37", [*CAPITALS, ("", "x")], ["[Y] of [X]"])
    dataset = load("pararel", tmp_path)
    assert {record.relation_id for record in dataset.records} == {"P36"}
    assert dataset.skipped == {
        "the subject has several objects": ["P36-3", "P37-3"],
        "the subject or the object is empty": ["P37-5"],
        "no template of the relation can be used": ["P37-0", "P37-1", "P37-2"],
    }


def test_two_files_of_one_relation_are_refused(tmp_path):
    for name in ("a", "b_copy"):
        relation(tmp_path / "relations", name)
    with pytest.raises(UserError, match=r"factual/a\.json and .*factual/b_copy\.json .*'country capital'; remove one"):
        load("relations", tmp_path)


def test_an_answer_that_stands_in_its_subject_is_noted(tmp_path):
    pairs = [("Luxembourg City", "Luxembourg"), ("mexico city", "Mexico"), ("Ulm", "Ulm a")]
    pararel(tmp_path / "pararel", pairs=pairs)
    assert load("pararel", tmp_path).notes["the answer stands in the subject"] == ["P36-0", "P36-1"]


UPSTREAM = {
    "pararel": ({"the subject has several objects": 675}, 3606, "7900057d933eedc9"),
    "relations": ({"the subject has several objects": 24}, 131, "794ff7647e79da8e"),
}
"""What is left out, how many facts have their answer in the subject, and a hash of case ids, subjects and answers."""


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED}")
@pytest.mark.parametrize("name", UPSTREAM)
def test_upstreams_files_give_the_records_they_always_gave(name):
    dataset, (skipped, noted, digest) = load(name, SHARED), UPSTREAM[name]
    listed = "\n".join(f"{one.case_id}|{one.text}|{one.target_true}|{one.target_new}" for one in dataset.records)
    assert {reason: len(ids) for reason, ids in dataset.skipped.items()} == skipped
    assert len(dataset.notes["the answer stands in the subject"]) == noted
    assert hashlib.sha256(listed.encode()).hexdigest()[:16] == digest


def test_templates_that_end_in_the_object():
    assert object_last(["[X] is in [Y] .", "[X] is in [Y].", "In [Y], [X]", "[X] of [Y] ."]) == ("{} is in", "{} of")


def test_relations_are_mixed_and_the_digest_is_of_all_files(tmp_path):
    for name in ("P1", "P2", "P3"):
        pararel(tmp_path / "pararel", name, [(f"{name} {i}", "x" if i % 2 else "y") for i in range(20)])
    first = load("pararel", tmp_path)
    half = {record.relation_id for record in first.records[:30]}
    assert half == {"P1", "P2", "P3"} and max(len(record.neighborhood) for record in first.records) == 9
    assert [record.case_id for record in load("pararel", tmp_path).records] == [one.case_id for one in first.records]
    pararel(tmp_path / "pararel", "P2", [("other", "x")])
    assert load("pararel", tmp_path).digest != first.digest


@pytest.mark.parametrize(
    ("name", "spoil", "complaint"),
    [
        ("pararel", lambda root: (root / FACTS / "P36.jsonl").unlink(), "P36.jsonl is not; put it there"),
        ("pararel", lambda root: pararel(root, templates=["[Y] of [X]"]), "no usable fact"),
        ("pararel", lambda root: (root / FACTS / "P36.jsonl").write_text('{"a": 1}'), "'sub_label' is missing"),
        ("relations", lambda root: relation(root, samples=[]), "no usable fact"),
        ("relations", lambda root: relation(root, samples=[{"subject": "a"}]), "'samples\\[0\\].object' is missing"),
        ("relations", lambda root: relation(root, samples=None), "'samples' is null"),
        ("relations", lambda root: (root / "data/factual/a.json").write_text("[1"), "is not complete JSON"),
        ("relations", lambda root: (root / "data/factual/a.json").write_text("[1]"), "is no JSON object"),
    ],
)
def test_broken_folders(tmp_path, name, spoil, complaint):
    {"pararel": pararel, "relations": relation}[name](tmp_path / name)
    spoil(tmp_path / name)
    with pytest.raises(UserError, match=complaint):
        load(name, tmp_path)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder that is served on this machine, and that data sets are fetched from."""
    root = tmp_path / "mirror"
    root.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(root))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(HOST_VARIABLE, f"http://127.0.0.1:{server.server_port}")
        yield root
        server.shutdown()


def test_what_is_missing_is_fetched_once_and_an_interruption_is_made_good(tmp_path, mirror, monkeypatch):
    monkeypatch.setattr(
        ParaRel, "paths", tuple(f"{kind}/{p}.jsonl" for p in ("P36", "P37") for kind in (PATTERNS, FACTS))
    )
    pararel(mirror, "P36")
    with pytest.raises(UserError, match="P37.jsonl is missing"):
        load("pararel", tmp_path / "data")
    pararel(mirror, "P37")
    dataset = load("pararel", tmp_path / "data")
    assert {record.relation_id for record in dataset.records} == {"P36", "P37"}
    for path in mirror.rglob("*.jsonl"):
        path.unlink()
    assert load("pararel", tmp_path / "data").digest == dataset.digest
    assert dataset.path == tmp_path / "data" / "pararel"


WRITERS = {"pararel": (pararel, (PATTERNS, FACTS), 78), "relations": (relation, ("data/factual",), 26)}


@pytest.mark.parametrize("name", WRITERS)
def test_files_put_there_after_a_fetch_that_gave_nothing_are_enough(tmp_path, mirror, name):
    write, folders, count = WRITERS[name]
    root = tmp_path / "data" / name
    for _ in range(2):
        with pytest.raises(UserError, match=rf"lacks {count} of {count} files.* is missing and could not") as caught:
            load(name, tmp_path / "data")
        assert all(str(root / folder) in str(caught.value) for folder in folders)
        assert "\n" not in str(caught.value) and ".unfinished" not in str(caught.value)
    write(root)
    assert "France" in by_subject(load(name, tmp_path / "data"))


def test_a_fetch_that_broke_off_tells_how_to_do_without_the_rest(tmp_path, mirror, monkeypatch):
    names = ("P36", "P37")
    monkeypatch.setattr(ParaRel, "paths", tuple(f"{kind}/{p}.jsonl" for p in names for kind in (PATTERNS, FACTS)))
    pararel(mirror, "P36")
    mark = tmp_path / "data" / "pararel" / ".unfinished"
    for _ in range(2):
        with pytest.raises(UserError, match=rf"lacks 2 of 4 files.*remove {mark} to use only.*P37\.jsonl is missing"):
            load("pararel", tmp_path / "data")
    mark.unlink()
    assert {record.relation_id for record in load("pararel", tmp_path / "data").records} == {"P36"}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("inner", ["pararel", "relations-main"])
def test_upstreams_folder_in_the_folder_is_told_and_not_fetched_beside(tmp_path, name, inner, monkeypatch):
    write, folders, _ = WRITERS[name]
    root = tmp_path / name
    write(root / inner)
    monkeypatch.setattr(collection, "fetch", None)
    with pytest.raises(UserError, match=rf"{root / inner} holds upstream's files one folder too deep") as caught:
        load(name, tmp_path)
    assert all(str(root / folder) in str(caught.value) for folder in folders) and "\n" not in str(caught.value)
    for path in (root / inner).iterdir():
        path.rename(root / path.name)
    assert "France" in by_subject(load(name, tmp_path))


def test_something_else_at_the_address_is_refused(tmp_path, mirror, monkeypatch):
    monkeypatch.setattr(Relations, "paths", ("data/factual/a.json",))
    (mirror / "data" / "factual").mkdir(parents=True)
    (mirror / "data" / "factual" / "a.json").write_text("<html>")
    with pytest.raises(UserError, match="gives something else"):
        load("relations", tmp_path / "data")


def test_every_file_upstream_is_known():
    assert len(ParaRel.paths) == 2 * 39 and len(Relations.paths) == 26
    assert all(collection.base.endswith("/") for collection in (ParaRel, Relations))
