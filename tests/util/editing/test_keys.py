import torch

from tests.tiny import MODULE_NAMES, REQUESTS, TEMPLATES
from util.editing.contexts import fill
from util.editing.keys import ModuleSite, at_subject, average_keys, plain
from util.hooks import capture
from util.tokens import locate_subject


def one_by_one(model, tok, template, subject, name, inputs):
    ids, index = locate_subject(tok, template, subject)
    with torch.no_grad(), capture({"at": model.get_submodule(name)}, inputs=inputs) as seen:
        model(input_ids=torch.tensor([ids]))
    return seen["at"][0, index]


def test_keys_are_averaged_within_then_over_groups(tiny, family):
    model, tok = tiny
    name = MODULE_NAMES[family]["rewrite_module_tmp"].format(2)
    K = average_keys(model, tok, REQUESTS, name, TEMPLATES, batch_tokens=60)
    for i, request in enumerate(REQUESTS):
        found = [one_by_one(model, tok, fill(t, request), request.subject, name, True) for g in TEMPLATES for t in g]
        torch.testing.assert_close(K[:, i], found[0] / 2 + (found[1] + found[2]) / 4, atol=1e-5, rtol=1e-4)


def test_plain_outputs(tiny, family):
    model, tok = tiny
    name = MODULE_NAMES[family]["layer_module_tmp"].format(1)
    H = plain(model, tok, REQUESTS, ModuleSite(name), batch_tokens=30)
    for i, request in enumerate(REQUESTS):
        expected = one_by_one(model, tok, request.prompt, request.subject, name, False)
        torch.testing.assert_close(H[:, i], expected, atol=1e-5, rtol=1e-4)


def test_the_order_of_the_batch_is_the_callers(tiny, family):
    model, tok = tiny
    name = MODULE_NAMES[family]["layer_module_tmp"].format(0)
    filled = [(r.prompt, r.subject) for r in REQUESTS]
    forward = at_subject(model, tok, filled, ModuleSite(name), 10_000)
    backward = at_subject(model, tok, filled[::-1], ModuleSite(name), 10_000)
    torch.testing.assert_close(forward, backward.flip(1))


def test_running_out_of_memory_halves_the_batch(tiny, family):
    model, tok = tiny
    name = MODULE_NAMES[family]["layer_module_tmp"].format(0)
    expected = plain(model, tok, REQUESTS, ModuleSite(name), 10_000)
    sizes = []

    def small_memory(_module, arguments):
        sizes.append(len(arguments[0]))
        if len(arguments[0]) > 1:
            raise torch.OutOfMemoryError("pretended")

    handle = model.get_input_embeddings().register_forward_pre_hook(small_memory)
    torch.testing.assert_close(plain(model, tok, REQUESTS, ModuleSite(name), 10_000), expected)
    handle.remove()
    assert sizes == [3, 1, 1, 1]
