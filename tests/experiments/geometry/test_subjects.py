"""Keys of all layers at once are those of each layer alone."""

import torch

from experiments.geometry.subjects import keys_of_all
from tests.tiny import MODULE_NAMES, REQUESTS
from util.editing.keys import ModuleSite, plain


def test_the_keys_are_those_of_each_module_alone(tiny, family):
    model, tok = tiny
    names = [MODULE_NAMES[family]["rewrite_module_tmp"].format(layer) for layer in (1, 3)]
    for budget in (500, 12):
        found = keys_of_all(model, tok, REQUESTS, names, budget)
        assert list(found) == names
        for name, K_IN in found.items():
            expected = plain(model, tok, REQUESTS, ModuleSite(name, inputs=True), 500)
            torch.testing.assert_close(K_IN, expected, atol=1e-5, rtol=1e-4)
