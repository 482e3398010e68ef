import pytest
import torch

from util.editing.contexts import OPENERS, check, fill, flatten, generate
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


def test_fill_keeps_the_place_of_the_subject():
    assert fill("You said so. {}", "{} was born in") == "You said so. {} was born in"
    assert flatten([["{}"], ["a {}", "b {}"]]) == ["{}", "a {}", "b {}"]


@pytest.mark.parametrize("templates", [[], [[]], [["{}"], []], [["no place"]], [["{} {}"]]])
def test_bad_templates(templates):
    with pytest.raises(ValueError, match="context_templates"):
        check(templates)
