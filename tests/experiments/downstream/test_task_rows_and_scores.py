"""Downstream tasks: rows of a file, the harness's definitions over them, and a model's scores against HFLM's."""

import copy
import json
import logging
import math
import socket
from importlib.util import find_spec

import pytest
import torch

from experiments.downstream.scores import Downstream
from experiments.downstream.task_rows import TASKS, read_rows
from tests.experiments.downstream_rows import ROWS
from tests.tiny import TEXT, tiny_llama
from util.errors import UserError

needs_harness = pytest.mark.skipif(find_spec("lm_eval") is None, reason="lm_eval (requirements-extra.txt)")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("something asks the network"))


def written(folder, rows):
    path = folder / "rows.json"
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows), encoding="utf-8")
    return path


def opened(folder, rows=None, limit=None) -> Downstream:
    from experiments.downstream.definitions import local_tasks

    local = read_rows(written(folder, rows or ROWS))
    return Downstream(local_tasks(local), local.path, local.digest, limit)


# --- rows


def test_rows_are_those_of_the_file_and_labels_those_of_the_definition(tmp_path):
    found = read_rows(written(tmp_path, ROWS)).tasks
    assert list(found) == list(TASKS)
    assert found["sst2"] == [{key: row[key] for key in ("sentence", "label")} for row in ROWS["sst2"]]
    assert [row["label"] for row in found["nli"]] == [0, 1]
    assert found["mmlu"] == ROWS["mmlu"]
    assert list(read_rows(written(tmp_path, ROWS), ["mnli", "cola"]).tasks) == ["cola", "mnli"]


def changed(task, **changes):
    rows = copy.deepcopy(ROWS)
    row = rows[task][-1]
    row.update(changes)
    for field in [field for field, value in row.items() if value is None]:
        del row[field]
    return rows


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("{", "no JSON"),
        ("\xff", "no JSON"),
        ("[]", "holds no object"),
        ("{}", "holds no object"),
        ({"squad": []}, "unknown task squad; tasks are sst2, mrpc"),
        ({"sst2": []}, "sst2 is no list of rows"),
        ({"sst2": {}}, "sst2 is no list of rows"),
        ({"sst2": ["a"]}, "sst2 row 0 is no object"),
        (changed("sst2", sentence=None), "sst2 row 1 has no sentence"),
        (changed("mmlu", subject=None, answer=None), "mmlu row 2 has no subject, answer"),
        (changed("mnli", premise=3), "mnli row 0: premise is 3; give a text"),
        (changed("sst2", sentence="half \ud83d"), r"sentence is 'half \\ud83d'; give a text"),
        (changed("mmlu", choices=["a", "b", "c", "\udc00"]), "list of 4 texts"),
        (changed("mmlu", choices=["a", "b", "c"]), "mmlu row 2: choices is .* list of 4 texts"),
        (changed("mmlu", choices="abcd"), "list of 4 texts"),
        (changed("rte", label=2), "rte row 0: label is 2; give one of 0, 1"),
        (changed("rte", label=-1), "label is -1"),
        (changed("rte", label=True), "label is True"),
        (changed("rte", label="entailment"), "label is 'entailment'"),
        (changed("rte", label=[0]), "give one of 0, 1"),
        (changed("nli", label=0), "nli row 1: label is 0; give one of 'entailment', 'not_entailment'"),
    ],
)
def test_rows_that_cannot_be_scored(tmp_path, rows, said):
    path = written(tmp_path, rows if rows != "\xff" else "")
    if rows == "\xff":
        path.write_bytes(b"\xff")
    with pytest.raises(UserError, match=said) as error:
        read_rows(path)
    assert str(path) in str(error.value)


def test_a_task_that_the_file_has_not(tmp_path):
    path = written(tmp_path, {"sst2": ROWS["sst2"], "rte": ROWS["rte"]})
    with pytest.raises(UserError, match=r"--downstream_tasks cola: .* only sst2, rte"):
        read_rows(path, ["rte", "cola"])


# --- definitions


@needs_harness
def test_an_unknown_subject_is_named(tmp_path):
    with pytest.raises(UserError, match=r"mmlu row 2: subject is 'alchemy'; give one of abstract_algebra, anatomy"):
        opened(tmp_path, changed("mmlu", subject="alchemy"))


PROMPTS = {
    "sst2": "a fine bridge \nQuestion: Is this sentence positive or negative?\nAnswer:",
    "mrpc": "Sentence 1: Ada spoke .\nSentence 2: It was Ada who spoke .\n"
    "Question: Do both sentences mean the same thing?\nAnswer:",
    "cola": "The bridge stood.\nQuestion: Does this sentence make sense?\nAnswer:",
    "rte": "Ada is born.\nQuestion: Ada lives. True or False?\nAnswer:",
    "nli": "Ada is born.\nQuestion: Ada lives. True or False?\nAnswer:",
    "mnli": "Ada is born.\nQuestion: Ada sings. True, False or Neither?\nAnswer:",
    "mmlu_virology": "The following are multiple choice questions (with answers) about virology.\n\n"
    "Where?\nA. here\nB. there\nC. up\nD. down\nAnswer:",
    "mmlu_anatomy": "The following are multiple choice questions (with answers) about anatomy.\n\n"
    "Who?\nA. Ada\nB. Mei\nC. Ana\nD. Nils\nAnswer:",
}
ANSWERS = {
    "sst2": [" negative", " positive"],
    "mrpc": [" no", " yes"],
    "cola": [" no", " yes"],
    "rte": [" True", " False"],
    "nli": [" True", " False"],
    "mnli": [" True", " Neither", " False"],
    "mmlu_virology": [" A", " B", " C", " D"],
    "mmlu_anatomy": [" A", " B", " C", " D"],
}


@needs_harness
def test_the_definitions_are_the_harnesss(tmp_path, caplog):
    tasks = opened(tmp_path).loaded.tasks
    assert set(tasks) == set(PROMPTS)
    for name, task in tasks.items():
        task.build_all_requests()
        first = [instance.args for instance in task.instances if instance.doc_id == 0]
        assert first == [(PROMPTS[name], answer) for answer in ANSWERS[name]]
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# --- a model's scores


def requests(texts):
    from lm_eval.api.instance import Instance

    return [Instance("loglikelihood", {}, pair, 0) for pair in texts]


def greedy(model, tok):
    """(context, continuation) pairs where the continuation is what the model says."""
    for text in TEXT:
        for end in range(3, len(text)):
            ids = tok(text[:end])["input_ids"]
            with torch.no_grad():
                said = tok.decode([model(torch.tensor([ids])).logits[0, -1].argmax()])
            if tok(text[:end] + said)["input_ids"][:-1] == ids and not text[end - 1].isspace():
                yield text[:end], said


@needs_harness
@pytest.mark.parametrize("budget", [1, 10_000])
def test_log_likelihoods_are_those_of_the_harnesss_own_model(tiny, budget, caplog):
    pytest.importorskip("accelerate")
    from lm_eval.models.huggingface import HFLM

    from experiments.downstream.harness import InMemory

    model, tok = tiny
    texts = [(prompt, answer) for name, prompt in PROMPTS.items() for answer in ANSWERS[name]]
    texts += [
        ("Ada ", "Lovelace"),
        ("Ada\n", " Lovelace"),
        ("Ada", "  two spaces"),
        ("Ada", "-hyphen"),
        ("Ada", "Love"),
    ]
    texts += [("<s>Ada", " Lovelace"), (" ".join(TEXT * 3), " and a half"), (" ".join(TEXT * 3), " yes"), ("Ż", " ółć")]
    texts += [next(greedy(model, tok)), texts[0]]
    oracle = HFLM(pretrained=model, tokenizer=tok, batch_size=4)
    expected = oracle.loglikelihood(requests(texts), disable_tqdm=True)
    caplog.clear()
    found = InMemory(model, tok, batch_tokens=budget).loglikelihood(requests(texts))
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=2e-3, rel=1e-5)
    assert [said for _, said in found] == [said for _, said in expected]
    assert found[-2][1] and not all(said for _, said in found)
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "zerounlearn"]
    assert "longer than the model's 128 tokens" in warning


@needs_harness
def test_what_is_not_scored_is_said(tiny):
    from experiments.downstream.harness import InMemory

    lm = InMemory(*tiny, batch_tokens=10)
    for text, said in {("", " yes"): "no context", ("  ", " yes"): "no context", ("Ada", ""): "adds no token"}.items():
        with pytest.raises(ValueError, match=said):
            lm.loglikelihood(requests([text]))
    for method in (lm.loglikelihood_rolling, lm.generate_until):
        with pytest.raises(NotImplementedError, match="only choices"):
            method([])


@needs_harness
def test_scores_are_those_of_the_harness_with_its_own_model(tmp_path, tiny):
    pytest.importorskip("accelerate")
    from lm_eval.models.huggingface import HFLM

    from experiments.downstream.harness import run_harness

    model, tok = tiny
    asked = opened(tmp_path)
    expected = run_harness(HFLM(pretrained=model, tokenizer=tok, batch_size=4), asked.loaded)["results"]
    found = asked.measure(model, tok, batch_tokens=500)
    metrics = {key: (key, "acc") for key in TASKS} | {"cola": ("cola", "mcc"), "mrpc_f1": ("mrpc", "f1")}
    assert found.summary == {key: 100 * expected[part][f"{name},none"] for key, (part, name) in metrics.items()}
    assert [row["row"] for row in found.rows if row["task"] == "mmlu"] == [0, 2, 1]
    again = asked.measure(model, tok, batch_tokens=500)
    assert again == found


@pytest.fixture
def said(monkeypatch):
    """Answers to order, instead of a model's: the choice that `choose(prompt)` names, or with NaN none."""
    from experiments.downstream.harness import InMemory

    def answer(choose, otherwise=-1.0):
        def loglikelihood(self, asked):
            return [(0.0 if one.args[1] == choose(one.args[0]) else otherwise, False) for one in asked]

        monkeypatch.setattr(InMemory, "loglikelihood", loglikelihood)

    return answer


def measured(asked):
    return asked.measure(*tiny_llama(), batch_tokens=10)


@needs_harness
def test_metrics_by_hand(tmp_path, said):
    """Right labels 1 1 0 0, the model says 1 0 0 0: accuracy 3/4, F1 2/3, Matthews 2/√12."""
    sentences = [("yes", 1), ("no", 1), ("no indeed", 0), ("no never", 0)]
    rows = {
        "cola": [{"sentence": text, "label": label} for text, label in sentences],
        "mrpc": [{"sentence1": text, "sentence2": "x", "label": label} for text, label in sentences],
    }
    said(lambda prompt: " yes" if "yes" in prompt else " no")
    found = measured(opened(tmp_path, rows))
    assert found.summary == pytest.approx({"mrpc": 75.0, "mrpc_f1": 200 / 3, "cola": 200 / math.sqrt(12)})


@needs_harness
def test_questions_count_alike_whatever_their_subject(tmp_path, said):
    question = {"question": "Who?", "choices": ["a", "b", "c", "d"], "answer": 3}
    rows = {"mmlu": [question | {"subject": name} for name in ("virology", "anatomy", "virology", "virology")]}
    said(lambda prompt: " D" if "virology" in prompt else " A")
    asked = opened(tmp_path, rows)
    found = measured(asked)
    assert found.summary == {"mmlu": 75.0}
    places = [(row["part"], row["row"], row["right"]) for row in found.rows]
    assert places == [*(("mmlu_virology", place, True) for place in (0, 2, 3)), ("mmlu_anatomy", 1, False)]
    limited = opened(tmp_path, rows, limit=1)
    assert measured(limited).summary == {"mmlu": 50.0}
    assert {part: one["rows"] for part, one in limited.identity()["tasks"].items()} == {
        "mmlu_virology": 1,
        "mmlu_anatomy": 1,
    }
    assert asked.identity() != limited.identity()


@needs_harness
def test_a_broken_models_likelihoods_are_none(tmp_path, said):
    said(lambda _: "nothing", math.nan)
    rows = measured(opened(tmp_path)).rows
    assert all(value is None for row in rows for value in row["log_likelihoods"])
