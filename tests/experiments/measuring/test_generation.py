"""Batched generation says what a plain loop over full forward passes says."""

from collections import Counter

import pytest
import torch

from experiments.measuring import generation
from experiments.measuring.generation import TopK, _TopKNoise, generate_texts
from util.errors import UserError
from util.tokens import encode

PROMPTS = ["Ada Lovelace was born in", "Łukasz", "The mother tongue of Danielle Darrieux is", "Łukasz", "J. van Dyke"]


def said_by_a_loop(model, tokenizer, prompt, count):
    ids = encode(tokenizer, prompt)
    start = len(ids)
    for _ in range(count):
        with torch.no_grad():
            ids = [*ids, int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
        if ids[-1] == tokenizer.eos_token_id:
            break
    return tokenizer.decode(ids[start:], skip_special_tokens=True)


@pytest.mark.parametrize("budget", [1, 60, 10_000])
def test_batches_equal_a_plain_loop(tiny, budget):
    model, tokenizer = tiny
    found = generate_texts(model, tokenizer, PROMPTS, max_new_tokens=6, batch_tokens=budget)
    assert found == [said_by_a_loop(model, tokenizer, prompt, 6) for prompt in PROMPTS]
    assert len(set(found)) > 1


def test_the_checkpoints_own_settings_do_not_matter(tiny):
    model, tokenizer = tiny
    plain = generate_texts(model, tokenizer, PROMPTS, max_new_tokens=8, batch_tokens=1000)
    settings = model.generation_config
    settings.do_sample, settings.temperature, settings.top_k = True, 5.0, 3
    settings.repetition_penalty, settings.no_repeat_ngram_size, settings.max_length = 9.0, 1, 3
    assert generate_texts(model, tokenizer, PROMPTS, max_new_tokens=8, batch_tokens=1000) == plain


@pytest.mark.parametrize(
    "setting",
    [
        {"suppress_tokens": list(range(3, 300))},
        {"forced_eos_token_id": 1},
        {"encoder_repetition_penalty": 3.0},
        {"guidance_scale": 3.0},
        {"max_time": 1e-9},
        {"penalty_alpha": 0.6, "top_k": 4},
        {"return_dict_in_generate": True},
        {"stop_strings": ["e"]},
    ],
    ids=str,
)
def test_nor_does_one_that_is_not_named_here(tiny, setting):
    model, tokenizer = tiny
    plain = generate_texts(model, tokenizer, PROMPTS, max_new_tokens=4, batch_tokens=1000)
    own = model.generation_config
    for name, value in setting.items():
        setattr(own, name, value)
    assert generate_texts(model, tokenizer, PROMPTS, max_new_tokens=4, batch_tokens=1000) == plain
    assert model.generation_config is own


def test_generation_ends_where_the_checkpoint_says(tiny):
    model, tokenizer = tiny
    text = PROMPTS[0]
    with torch.no_grad():
        first = int(model(input_ids=torch.tensor([encode(tokenizer, text)])).logits[0, -1].argmax())
    model.generation_config.eos_token_id = [first, 5]
    assert generate_texts(model, tokenizer, [text], max_new_tokens=8, batch_tokens=100) == [tokenizer.decode([first])]


def test_nothing_asked(tiny):
    assert generate_texts(*tiny, [], max_new_tokens=3, batch_tokens=10) == []


@pytest.mark.parametrize("budget", [1, 60, 10_000])
def test_a_batch_draws_what_single_prompts_draw(tiny, budget):
    model, tokenizer = tiny

    def drawn(prompts, seed=0):
        settings = {"max_new_tokens": 6, "batch_tokens": budget, "sampling": TopK(5, seed)}
        return generate_texts(model, tokenizer, prompts, **settings)

    found = drawn(PROMPTS)
    assert found == [drawn([prompt])[0] for prompt in PROMPTS]
    assert found != drawn(PROMPTS, seed=1)
    assert found != generate_texts(model, tokenizer, PROMPTS, max_new_tokens=6, batch_tokens=budget)


def test_one_candidate_is_greedy(tiny):
    settings = {"max_new_tokens": 6, "batch_tokens": 100}
    assert generate_texts(*tiny, PROMPTS, sampling=TopK(1), **settings) == generate_texts(*tiny, PROMPTS, **settings)


def test_draws_follow_the_candidates_probabilities():
    logits = torch.tensor([[0.0, 2.0, 1.0, 3.0, -1.0]])
    draw = _TopKNoise(TopK(3), ["text"])
    counts = Counter(int(draw(None, logits).argmax()) for _ in range(20_000))
    expected = logits[0, [1, 2, 3]].softmax(0).tolist()
    assert [counts[token] / 20_000 for token in (1, 2, 3)] == pytest.approx(expected, abs=0.01)
    assert counts.total() == 20_000 == counts[1] + counts[2] + counts[3]


def test_the_length_of_a_whole_text_counts_its_prompt(tiny):
    model, tokenizer = tiny
    lengths = [len(encode(tokenizer, prompt)) for prompt in PROMPTS]
    limit = max(lengths) - 1
    found = generate_texts(model, tokenizer, PROMPTS, max_new_tokens=4, max_length=limit, batch_tokens=1000)
    expected = [
        said_by_a_loop(model, tokenizer, prompt, min(4, max(0, limit - length)))
        for prompt, length in zip(PROMPTS, lengths, strict=True)
    ]
    assert found == expected
    assert "" in found and any(found)


def test_a_long_prompt_and_a_long_answer_do_not_share_a_batch_that_passes_the_positions(tiny, monkeypatch):
    model, tokenizer = tiny
    texts = ["a " * 110, "Ada", *PROMPTS]
    settings = {"max_new_tokens": 100, "max_length": 120}
    alone = [generate_texts(model, tokenizer, [text], batch_tokens=1, **settings)[0] for text in texts]
    batches: list[tuple[int, int]] = []
    plain = generation._continue

    def counted(model, tokenizer, rows, limits, draw):
        batches.append((len(rows), max(map(len, rows)) + max(limits)))
        return plain(model, tokenizer, rows, limits, draw)

    monkeypatch.setattr(generation, "_continue", counted)
    assert generate_texts(model, tokenizer, texts, batch_tokens=10_000, **settings) == alone
    assert all(tokens <= 128 for _, tokens in batches) and max(count for count, _ in batches) > 1


def test_a_prompt_that_the_model_has_no_room_for_is_named(tiny):
    model, tokenizer = tiny
    with pytest.raises(UserError, match="the text 'a a a .* 128 positions; shorten"):
        generate_texts(model, tokenizer, ["Ada", "a " * 124], max_new_tokens=8, batch_tokens=1000)
