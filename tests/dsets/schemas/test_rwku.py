"""RWKU's level files: layouts, facts and probes, what is left out, where facts of a person stand, what is refused."""

import logging
from pathlib import Path

import pytest

from dsets import LevelProbe, load
from dsets.record import LEVELS
from dsets.schemas.rwku import FORMS, LEVEL_FILES, NO_FACT, STRADDLES, UNASKED
from dsets.splits import draw, pools
from tests.dsets.made_rows import changed, written
from tests.dsets.test_formats import attempt
from util.errors import UserError


def cloze(subject: str, query: str = "{} was born in ___, by the sea.", answer: str = "Port Alba") -> dict:
    """A row of forget_level1."""
    return {"query": query.replace("{}", subject), "answer": answer, "type": "cloze", "level": "1", "subject": subject}


def question(subject: str, level: str = "2", kind: str = "simple question") -> dict:
    """A row of forget_level2 or, with an attack's name, of forget_level3."""
    query = f"Where was {subject} born{'? Speak' if level == '3' else '?'}"
    return {"query": query, "answer": "Port Alba", "type": kind, "level": level, "subject": subject}


def neighbor(name: str, level: str = "1") -> dict:
    """A row of neighbor_level1 or neighbor_level2; its subject is not the person to forget."""
    query = f"{name} is a ___." if level == "1" else f"What is {name}?"
    return {"query": query, "answer": "river", "type": "cloze", "level": level, "subject": name}


def people(*names: str, **more: list) -> dict[str, list]:
    """Stem of a file → rows: a blank, a question and an attack for each person, and two neighbours for all."""
    return {
        "forget_level1": [cloze(name, "{} lived in ___ and died.") for name in names],
        "forget_level2": [question(name) for name in names],
        "forget_level3": [question(name, "3", "prefix injection") for name in names],
        "neighbor_level1": [neighbor("Orr")],
        "neighbor_level2": [neighbor("Orr", "2")],
    } | more


def put(folder: Path, files: dict[str, list], end: str = ".json") -> str:
    """The path of a folder that has the files."""
    folder.mkdir(exist_ok=True)
    for stem, content in files.items():
        written(folder, content, stem + end)
    return str(folder)


def asked(record) -> list[tuple[str, str]]:
    return [(probe.level, probe.prompt) for probe in record.levels]


def test_every_level_has_a_file_and_a_form():
    assert tuple(LEVEL_FILES) == tuple(FORMS) == LEVELS


@pytest.mark.parametrize("end", [".json", ".jsonl"])
def test_one_set_of_files(tmp_path, end):
    dataset = load(put(tmp_path / "levels", people("Ana Sousa", "Bo Lind"), end))
    assert (dataset.name, dataset.metric, dataset.path) == ("levels", "counterfact", tmp_path / "levels")
    ana, bo = dataset.records
    assert (ana.case_id, ana.prompt, ana.subject, ana.target_true) == (0, "{} lived in", "Ana Sousa", "Port Alba")
    assert ana.levels[2] == LevelProbe(
        level="level_3", prompt="Where was Ana Sousa born? Speak", answer="Port Alba", kind="prefix injection"
    )
    assert asked(bo) == [
        ("level_1", "Fill in the blank. Bo Lind lived in ___ and died.\nAnswer:"),
        ("level_2", "Where was Bo Lind born?\nAnswer:"),
        ("level_3", "Where was Bo Lind born? Speak"),
        ("neighbor_1", "Fill in the blank. Orr is a ___.\nAnswer:"),
        ("neighbor_2", "What is Orr?\nAnswer:"),
    ]
    assert asked(ana)[3:] == asked(bo)[3:]
    assert dataset.skipped == {} and dataset.notes == {}


def test_a_folder_per_target(tmp_path):
    put(tmp_path / "1_Ana", people("Ana"))
    put(tmp_path / "2_Bo", people("Bo", neighbor_level1=[neighbor("Elm")]))
    (tmp_path / "notes").mkdir()
    dataset = load(str(tmp_path))
    ana, bo = dataset.records
    assert (ana.case_id, bo.case_id) == ("1_Ana-0", "2_Bo-0")
    assert all("Bo" not in prompt and "Elm" not in prompt for _, prompt in asked(ana))
    assert ("neighbor_1", "Fill in the blank. Elm is a ___.\nAnswer:") in asked(bo)
    assert [level for level, _ in asked(ana)] == list(LEVELS)


def test_in_a_targets_folder_other_levels_need_no_subject(tmp_path):
    bare = [{"query": "Who?", "answer": "She"}]
    put(tmp_path / "1_Ana", people("Ana", forget_level2=bare, neighbor_level2=bare))
    (record,) = load(str(tmp_path)).records
    assert LevelProbe(level="level_2", prompt="Who?\nAnswer:", answer="She") in record.levels
    with pytest.raises(UserError, match=r"forget_level2.json: record 0 .*'subject' is missing"):
        load(str(tmp_path / "1_Ana"))


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("{} was born.", "no blank (___) in query"),
        ("{} knew ___ and ___.", "more than one blank (___) in query"),
        ("In ___ lived {}.", "the subject is not in the text before the blank"),
        ("Banana lived in ___, like {}.", "the subject is not in the text before the blank"),
        ("{} and {} lived in ___.", "the subject is more than once in the text before the blank"),
        ("{} wrote <place> in ___.", "the query holds '{}'"),
    ],
)
def test_rows_that_cannot_be_edited_are_named_and_asked_all_the_same(tmp_path, caplog, query, reason):
    odd = cloze("ana") | {"query": query.replace("{}", "ana").replace("<place>", "{}")}
    files = people("ana", forget_level1=[cloze("ana"), odd])
    with caplog.at_level(logging.WARNING):
        dataset = load(put(tmp_path, files))
    assert dataset.skipped == {NO_FACT + reason: [1]}
    assert "1 records left out" in caplog.text and reason in caplog.text
    (record,) = dataset.records
    assert f"Fill in the blank. {odd['query']}\nAnswer:" in [prompt for _, prompt in asked(record)]


@pytest.mark.parametrize(
    ("query", "prompt"),
    [
        ('Ana wrote the novel "___" in 1970.', "{} wrote the novel"),
        ("Ana's Banana is ____", "{}'s Banana is"),
        ("The mother (Ana) ___.", "The mother ({})"),
        ('They called Ana "Annie" ___', 'They called {} "Annie"'),
        ("Le roman d'Ana : «___»", "Le roman d'{} :"),
        ("Anas Buch, das Ana „___“ nannte", "Anas Buch, das {}"),
        ("Ana wrote *___*", "{} wrote"),
    ],
)
def test_the_prompt_is_the_text_before_the_blank(tmp_path, query, prompt):
    (record,) = load(put(tmp_path, {"forget_level1": [cloze("Ana", query)]})).records
    assert record.prompt == prompt


def test_a_repeated_fact_comes_once(tmp_path):
    dataset = load(put(tmp_path, people("Ana", forget_level1=[cloze("Ana"), cloze("Ana")])))
    assert [record.case_id for record in dataset.records] == [0]
    assert dataset.skipped == {NO_FACT + "the same fact as an earlier one": [1]}
    assert len(dataset.records[0].levels) == len(set(dataset.records[0].levels)) == 5


def test_rows_without_content_are_counted(tmp_path):
    silent = [question("Ana") | {"answer": "?!"}, question("Ana") | {"query": " "}]
    files = people("Ana", forget_level1=[cloze("Ana"), cloze(""), cloze("Ana", answer="")], forget_level2=silent)
    dataset = load(put(tmp_path, files))
    assert dataset.skipped == {
        "empty subject": [1],
        "empty answer": [2],
        "no letter or digit in answer": ["forget_level2-0"],
        "empty query": ["forget_level2-1"],
    }
    assert [level for level, _ in asked(dataset.records[0])] == ["level_1", "level_3", "neighbor_1", "neighbor_2"]


def test_probes_that_no_fact_brings_along_are_counted(tmp_path):
    files = people("Ana", forget_level2=[question("Cy")])
    assert load(put(tmp_path / "set", files)).skipped == {UNASKED: ["forget_level2-0"]}
    put(tmp_path / "targets", {})
    put(tmp_path / "targets" / "1_Ana", people("Ana"))
    put(tmp_path / "targets" / "2_Cy", people("Cy", forget_level1=[cloze("Cy", "{} slept.")]))
    skipped = load(str(tmp_path / "targets")).skipped
    assert skipped[UNASKED] == [f"2_Cy-{stem}-0" for stem in list(LEVEL_FILES.values())[1:]]
    assert skipped[NO_FACT + "no blank (___) in query"] == ["2_Cy-0"]


def test_files_that_are_not_there_are_noted(tmp_path):
    dataset = load(put(tmp_path / "set", {"forget_level1": [cloze("Ana")], "neighbor_level2": [neighbor("Orr", "2")]}))
    assert dataset.notes == {f"no file {stem}.json": ["set"] for stem in list(LEVEL_FILES.values())[1:4]}
    assert [level for level, _ in asked(dataset.records[0])] == ["level_1", "neighbor_2"]


def several(counts: dict[str, int]) -> dict[str, list]:
    """So many facts per person, the people's rows mixed."""
    facts = sorted((i, name) for name, count in counts.items() for i in range(count))
    return {"forget_level1": [cloze(name, f"In year {i} {{}} lived in ___", f"Oslo {i}") for i, name in facts]}


@pytest.mark.parametrize(
    ("counts", "straddler"),
    [
        ({"Ana": 3, "Bo": 3}, None),
        ({"Ana": 1, "Bo": 4, "Cy": 2, "Di": 1}, None),
        ({"Ana": 5, "Bo": 2, "Cy": 2, "Di": 1, "Ed": 1}, None),
        ({"Ana": 1, "Bo": 6}, "Bo"),
        ({"Ana": 2}, "Ana"),
        ({"Ana": 1}, None),
        ({"Ana": 1, "Bo": 1, "Cy": 1, "Di": 1, "Ed": 1}, None),
    ],
)
def test_a_person_is_in_one_half_where_that_can_be(tmp_path, counts, straddler):
    dataset = load(put(tmp_path, several(counts)))
    retain, forget = ({record.subject for record in pool} for pool in pools(dataset.records))
    assert retain & forget == ({straddler} if straddler else set())
    assert len(dataset.records) == sum(counts.values())
    ids = [record.case_id for record in dataset.records if record.subject == straddler]
    assert dataset.notes.get(STRADDLES, []) == ids
    order = [record.subject for record in dataset.records]
    assert order == [name for name in dict.fromkeys(order) for _ in range(counts[name])]


def test_a_draw_takes_one_fact_a_person(tmp_path):
    facts = draw(load(put(tmp_path, several({"Ana": 3, "Bo": 2, "Cy": 1}))).records, 2, 10, seed=0)
    assert {record.subject for record in facts.forget} == {"Bo", "Cy"}
    assert {record.subject for record in facts.retain} == {"Ana"}
    assert [record.subject for record in facts.same_subject] == ["Bo"]


def test_name_size_and_digest_hang_on_every_file(tmp_path):
    first, same = (load(put(tmp_path / name, people("Ana"))) for name in ("one", "two"))
    other = load(put(tmp_path / "three", people("Ana", neighbor_level1=[neighbor("Elm")])))
    assert first.size == sum(path.stat().st_size for path in (tmp_path / "one").iterdir())
    assert first.digest == same.digest != other.digest


def test_the_digest_hangs_on_the_targets_names(tmp_path):
    for name in ("1_Ana", "2_Ana"):
        put(tmp_path / f"with {name}", {})
        put(tmp_path / f"with {name}" / name, people("Ana"))
    one, two = (load(str(tmp_path / f"with {name}")) for name in ("1_Ana", "2_Ana"))
    assert one.size == two.size and one.digest != two.digest


@pytest.mark.parametrize(
    ("stem", "field", "value", "complaint"),
    [
        ("forget_level1", "query", None, "'query' is null; it must be a string"),
        ("forget_level1", "subject", ["Ana"], "it must be a string"),
        ("forget_level2", "level", "3", "'level' is '3' in a file of level 2; put the row into the right file"),
        ("forget_level3", "type", 3, "'type' is 3; it must be a string"),
        ("neighbor_level1", "answer", 5, "'answer' is 5; it must be a string"),
        ("neighbor_level2", "level", 1.5, "'level' is 1.5; it must be a string or a whole number"),
    ],
)
def test_broken_rows_name_file_record_and_field(tmp_path, stem, field, value, complaint):
    files = people("Ana")
    files[stem].append(changed(files[stem][0], field, value))
    with pytest.raises(UserError) as error:
        load(put(tmp_path, files))
    assert str(tmp_path / f"{stem}.json: record 1 (from 0): ") in str(error.value) and complaint in str(error.value)


@pytest.mark.parametrize("value", [None, True, 5, 1.5, "", "x", "{}", "___", [], {}, "{} ___", "Ana ___ {query}"])
@pytest.mark.parametrize("field", ["query", "answer", "subject", "type", "level"])
@pytest.mark.parametrize("stem", LEVEL_FILES.values())
def test_whatever_a_field_holds_is_read_or_refused(tmp_path, stem, field, value):
    files = people("Ana", "Bo")
    files[stem] = [changed(files[stem][0], field, value), *files[stem]]
    records, complaint = attempt(put(tmp_path, files))
    assert complaint is None or (str(tmp_path / stem) in complaint and repr(field) in complaint)
    for record in records:
        assert record.request().text
        assert all(any(map(str.isalnum, probe.answer)) for probe in record.levels)


def test_folders_without_the_files(tmp_path):
    with pytest.raises(UserError, match="cannot be read: neither it nor a folder in it has forget_level1.json"):
        load(str(tmp_path))
    put(tmp_path / "1_Ana", {"forget_level2": [question("Ana")]})
    with pytest.raises(UserError, match="1_Ana has no forget_level1.json"):
        load(str(tmp_path))
    put(tmp_path, people("Bo"))
    with pytest.raises(UserError, match="has forget_level1 itself and in 1_Ana/"):
        load(str(tmp_path))
    with pytest.raises(UserError, match=r"1_Ana has both forget_level2.json and forget_level2.jsonl; take one"):
        load(put(tmp_path / "1_Ana", people("Ana"), ".jsonl"))


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(UserError, match=r"cannot be read \(Permission denied\); name a readable folder"):
        load(str(tmp_path))


def test_a_folder_without_a_fact(tmp_path):
    with pytest.raises(UserError, match=r"no usable record: no fact to edit: no blank \(___\) in query \(1\)"):
        load(put(tmp_path, {"forget_level1": [cloze("Ana", "{} slept.")]}))
