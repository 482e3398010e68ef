from functools import cache

import pytest
import torch

from tests.tiny import TINY, tiny_gpt2
from util.editing.contexts import OPENERS, check, fill, fitting, flatten, generate
from util.errors import UserError
from util.request import Frame, Request
from util.tokens import encode


def test_generated_templates(tiny):
    model, tok = tiny
    state = torch.random.get_rng_state()
    templates = generate(model, tok, seed=3)
    assert templates[0] == ["{}"] and len(templates[1]) == 5
    for opener, template in zip(OPENERS, templates[1], strict=True):
        assert template.startswith(opener) and template.endswith(". {}") and template.count("{}") == 1
        assert not any(special in template for special in tok.all_special_tokens)
        assert tok.bos_token_id is None or encode(tok, template).count(tok.bos_token_id) == 1
    assert check(templates) is templates
    assert generate(model, tok, seed=3) == templates and generate(model, tok, seed=4) != templates
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.fixture(scope="module")
def expected_of():
    """Family → its templates with the checkpoint's settings as they are; each made once."""
    return cache(lambda family: generate(*TINY[family](), seed=3))


@pytest.mark.parametrize(
    "settings",
    [
        {"max_new_tokens": 60},
        {"min_new_tokens": 12},
        {"repetition_penalty": 5.0},
        {"no_repeat_ngram_size": 1},
        {"num_beams": 3},
        {"temperature": 9.0, "top_p": 0.1, "top_k": 1},
        {"typical_p": 0.1},
        {"suppress_tokens": list(range(50, 400))},
        {"bad_words_ids": [[i] for i in range(50, 400)]},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_the_checkpoints_generation_settings_do_not_matter(family, settings, expected_of):
    model, tok = TINY[family]()
    expected = expected_of(family)
    model.generation_config.update(**settings)
    own = model.generation_config
    assert generate(model, tok, seed=3) == expected
    assert model.generation_config is own and own.to_dict().items() >= settings.items()


def test_a_template_ends_where_the_checkpoint_ends_a_text(family):
    model, tok = TINY[family]()
    model.generation_config.eos_token_id = list(range(420))
    assert generate(model, tok)[1][0].count(" ") <= 2


def test_fill_keeps_the_place_of_the_subject_and_the_frame_outside():
    request = Request(prompt="{} was born in", subject="Ada", target_true="London", frame=Frame("<q>", "<a>"))
    assert fill("You said so. {}", request) == "<q>You said so. {} was born in<a>"
    assert flatten([["{}"], ["a {}", "b {}"]]) == ["{}", "a {}", "b {}"]


@pytest.mark.parametrize("templates", [[], [[]], [["{}"], []], [["no place"]], [["{} {}"]]])
def test_bad_templates(templates):
    with pytest.raises(ValueError, match="context_templates"):
        check(templates)


def test_contexts_that_leave_no_room_are_left_out_with_a_warning(caplog):
    model, tok = tiny_gpt2(n_positions=16)
    long = "The bridge stood. Because you said so, the bridge stood still. {}"
    requests = [Request(case_id=0, prompt="{} was born in", subject="Ada Lovelace", target_true="London")]
    assert fitting(model, tok, [["{}"], ["A {}", long]], requests) == [["{}"], ["A {}"]]
    assert "1 of 3 context templates" in caplog.text
    assert fitting(model, tok, [["{}"], [long]], requests) == [["{}"]]
    caplog.clear()
    assert fitting(model, tok, [["{}"]], requests) == [["{}"]] and not caplog.text
    with pytest.raises(UserError, match="16 positions"):
        fitting(model, tok, [[long]], requests)
