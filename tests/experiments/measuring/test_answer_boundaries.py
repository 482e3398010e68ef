"""A model that gives an answer in running text is seen to give it, whatever its prompt ends in."""

import json

import pytest

from dsets import Record
from dsets.record import in_frame
from experiments import evaluate
from experiments.measuring.generation import generate_texts
from experiments.measuring.scoring import score
from experiments.tracing.traced_facts import as_fact
from tests.bigram import reciter
from tests.experiments.small import read
from tests.prompts import KINDS
from tests.tiny import tokenizer
from tests.util.test_chat import CHATML, TRIMMING, chat
from util.chat import OPENING, chat_frame
from util.editing.finetuning import answer_rows
from util.editing.objective import example
from util.tokens import encode


@pytest.mark.parametrize(("bos", "side"), [(True, "left"), (False, "right")])
@pytest.mark.parametrize("kind", KINDS)
def test_scoring_and_generation_agree(kind, bos, side):
    tok = tokenizer(bos=bos, pad=True, side=side)
    template, subject, answer, between = KINDS[kind]
    text = template.replace("{}", subject)
    tok.add_tokens(sorted({letter for letter in text + answer if not letter.isascii()}))  # else bytes come twice
    model = reciter(tok, text + between + answer)
    found = score(model, tok, [(text, answer), ("Ada", answer)], batch_tokens=1000)
    assert all(found[text, answer].correct) and found[text, answer].probability > 0.99
    said = generate_texts(model, tok, [text, "Ada"], max_new_tokens=30, batch_tokens=1000)[0]
    assert said == between + answer


@pytest.mark.parametrize("kind", KINDS)
def test_targets_training_and_tracing_read_the_same_tokens(kind):
    tok = tokenizer(bos=True, pad=True)
    template, subject, answer, _ = KINDS[kind]
    record = Record(case_id=0, prompt=template, subject=subject, target_true=answer)
    (row,) = answer_rows(tok, [record.request()], [answer])
    assert as_fact(tok, record, whole_answer=True).row == row
    searched = example(tok, record.request(), answer, [["{}"]])
    text, answer_ids = searched.texts[0], searched.answers[0]
    assert tuple(answer_ids) == row.answer and tuple(text.ids) == row.ids
    assert text.fact + searched.first_label[0] + 1 == len(row.prompt)


@pytest.mark.parametrize("mode", ["user", "assistant"])
@pytest.mark.parametrize("template", [CHATML, TRIMMING])
def test_contexts_stand_inside_the_turn(template, mode):
    tok = chat(template)
    frame = chat_frame(tok, mode)
    record = in_frame(Record(case_id=0, prompt="{} is in", subject="Ada", target_true="London"), frame)
    searched = example(tok, record.request(), "London", [["{}", "You said so. {}"]])
    between = "" if mode == "user" else " "
    for text, answer_ids, context in zip(searched.texts, searched.answers, ("", "You said so. ")):
        wanted = frame.around(f"{context}Ada is in") + between + "London"
        assert [*text.ids, answer_ids[-1]] == encode(tok, wanted)
        assert tok.decode(text.ids[: text.fact + 1]).endswith(f"{context}Ada")
    assert (OPENING in frame.before) == (mode == "assistant")


@pytest.mark.parametrize(("mode", "side"), [(None, "right"), ("user", "left"), ("assistant", "right")])
def test_a_run_in_the_chat_template(tmp_path, mode, side):
    """What is known in the template's form alone is seen with the flag, and not without."""
    tok = chat(TRIMMING)
    tok.padding_side = side
    prompts = ["The capital of {} is", "{} has the capital"]
    frame = chat_frame(tok, mode or "user")
    between = " " if mode == "assistant" else ""
    model = reciter(tok, "\n".join(frame.around(prompt) + between + "Port Alba" for prompt in prompts))
    model.save_pretrained(tmp_path / "model")
    tok.save_pretrained(tmp_path / "model")
    facts = [
        {
            "prompt": prompts[0],
            "subject": name,
            "target_true": "Port Alba",
            "paraphrases": [prompts[1].replace("{}", name)],
            "neighborhood": [prompts[1].replace("{}", "Nowhere")],
        }
        for name in ("Northland", "Southland", "Eastland", "Westland")
    ]
    (tmp_path / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    flags = ["--alg_name", "BASE", "--model_name", str(tmp_path / "model"), "--ds_name", str(tmp_path / "facts.json")]
    flags += ["--unlearn_num", "2", "--retain_num", "1", "--ppl", "none", "--results_dir", str(tmp_path), "--quiet"]
    flags += [] if mode is None else ["--chat_template"] if mode == "user" else ["--chat_template", mode]
    evaluate.main(flags)
    (folder,) = (tmp_path / "BASE").iterdir()
    base = read(folder, "summary.json")["base"]
    wanted = 0.0 if mode is None else 100.0
    assert {base[name] for name in ("efficacy", "generalization", "specificity", "retain")} == {wanted}
    assert read(folder, "run.json")["hashes"]["frame"]["after"] == (frame.after if mode == "user" else "")
