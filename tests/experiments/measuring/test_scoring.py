import math

import pytest
import torch

from experiments.measuring.scoring import Score, score, score_pairs
from util import likelihood
from util.errors import UserError
from util.hooks import capture
from util.tokens import encode, target_ids

QUESTIONS = [
    ("The mother tongue of Danielle Darrieux is", "French"),
    ("The mother tongue of Danielle Darrieux is", "Polish and a half"),
    ("The mother tongue of Danielle Darrieux is", "<EOS>"),
    ("Ada", "Lovelace was born"),
    ("Ada", "Lovelace"),
    ("", "London"),
    ("Łukasz Żółć speaks", "東京"),
]


def one_by_one(model, tok, prompt, answer):
    prompt_ids = encode(tok, prompt)
    whole = encode(tok, f"{prompt} {answer}".strip())
    answer_ids = [tok.eos_token_id] if answer == "<EOS>" else whole[len(prompt_ids) :]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt_ids + answer_ids])).logits[0, len(prompt_ids) - 1 : -1]
    log_probs = logits.float().log_softmax(-1)[torch.arange(len(answer_ids)), answer_ids]
    return [int(i) == a for i, a in zip(logits.argmax(-1), answer_ids, strict=True)], log_probs


@pytest.mark.parametrize("budget", [1, 40, 10_000])
@pytest.mark.parametrize("logits_at_once", [1, 1 << 26])
def test_batches_equal_one_by_one(tiny, family, budget, logits_at_once, monkeypatch):
    monkeypatch.setattr(likelihood, "LOGITS_AT_ONCE", logits_at_once)
    model, tok = tiny
    questions = [q for q in QUESTIONS if q[0] or family == "llama"]
    found = score(model, tok, [*questions, *questions], batch_tokens=budget)
    assert set(found) == set(questions)
    for (prompt, answer), result in found.items():
        correct, log_probs = one_by_one(model, tok, prompt, answer)
        assert list(result.correct) == correct
        torch.testing.assert_close(torch.tensor(result.log_probs), log_probs, atol=1e-4, rtol=1e-4)


def test_a_model_that_says_the_answer_is_right(tiny):
    model, tok = tiny
    prompt = encode(tok, "Ada Lovelace")
    with torch.no_grad():
        said = model(input_ids=torch.tensor([prompt])).logits[0, -1].argmax().item()
    pair = (tuple(prompt), (said,))
    assert score_pairs(model, [pair], batch_tokens=10)[pair].correct == (True,)


@pytest.mark.parametrize("longest", [2, 3, 5])
def test_texts_that_are_too_long_are_cut_from_the_left(tiny, longest):
    model, tok = tiny
    prompt, answer = tuple(encode(tok, "Ada Lovelace was born in")), tuple(target_ids(tok, "東京"))[:2]
    assert len(prompt) >= 5 and len(answer) == 2
    pairs = [(prompt, answer), (prompt, answer[:1]), (prompt[-1:], answer)]
    found = score_pairs(model, pairs, batch_tokens=100, longest=longest)
    cut = (*prompt, answer[0])[-longest:]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([cut])).logits[0, -2:].log_softmax(-1)
    assert found[pairs[0]].log_probs == pytest.approx([float(logits[i, answer[i]]) for i in (0, 1)], abs=1e-4)
    for pair in pairs:
        alone = score_pairs(model, [pair], batch_tokens=1, longest=longest)[pair]
        assert found[pair].log_probs == pytest.approx(alone.log_probs, abs=1e-4)
    with pytest.raises(AssertionError, match="does not fit"):
        score_pairs(model, [((1,), (3,) * (longest + 1))], batch_tokens=10, longest=longest)


def test_a_prompts_answers_share_its_pass(tiny):
    model, tok = tiny
    rows, embeddings = [], model.get_input_embeddings()
    with capture({"rows": embeddings}, take=lambda embedded: rows.append(len(embedded))):
        score(model, tok, QUESTIONS[:5], batch_tokens=10_000)
    assert sum(rows) == 3 < len(QUESTIONS[:5])


def test_no_questions(tiny):
    assert score(*tiny, [], batch_tokens=10) == {}


def test_score_properties():
    result = Score((True, False), (math.log(0.5), math.log(0.125)))
    assert result.probability == pytest.approx(0.25)


@pytest.mark.parametrize("question", [("a " * 200, "b"), ("Ada", "b " * 200)])
def test_a_text_that_the_model_has_no_room_for_is_named(tiny, question):
    with pytest.raises(UserError, match=f"the text '{question[0][:3]}.* 128 positions; shorten"):
        score(*tiny, [("Ada", "Lovelace"), question], batch_tokens=1000)
