"""Batched greedy generation says what a plain loop over full forward passes says."""

import pytest
import torch

from experiments.generation import generate_texts
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


def test_generation_ends_where_the_checkpoint_says(tiny):
    model, tokenizer = tiny
    text = PROMPTS[0]
    with torch.no_grad():
        first = int(model(input_ids=torch.tensor([encode(tokenizer, text)])).logits[0, -1].argmax())
    model.generation_config.eos_token_id = [first, 5]
    assert generate_texts(model, tokenizer, [text], max_new_tokens=8, batch_tokens=100) == [tokenizer.decode([first])]


def test_nothing_asked(tiny):
    assert generate_texts(*tiny, [], max_new_tokens=3, batch_tokens=10) == []
