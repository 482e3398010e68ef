"""Every causal language model class of the installed transformers: right, or one line that says why not."""

import os

import pytest
from transformers import LlamaConfig

from tests.library import causal_model_types, outcome, shrink

pytestmark = pytest.mark.untraced

EVERY = 1 if os.environ.get("ZEROUNLEARN_LIBRARY") == "whole" else 8
"""The whole library takes four minutes of one core; by default every eighth class of it is tried."""


@pytest.mark.slow
@pytest.mark.parametrize("model_type", causal_model_types()[::EVERY])
def test_right_or_one_line(model_type):
    kind, why = outcome(model_type)
    assert kind in ("right", "refused", "not made")
    assert "\n" not in why and bool(why) == (kind != "right")


@pytest.mark.parametrize(
    ("model_type", "kind"),
    [
        ("gemma3", "right"),
        ("modernbert-decoder", "right"),
        ("granite", "right"),
        ("bert", "refused"),
        ("mixtral", "refused"),
    ],
)
def test_outcomes_that_are_known(model_type, kind):
    """Of a multimodal model, and of one whose head is called a decoder, as well."""
    assert outcome(model_type)[0] == kind


def test_a_configuration_becomes_small():
    config = LlamaConfig()
    shrink(config)
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers) == (420, 32, 4)
    assert config.num_attention_heads == 4 and config.rms_norm_eps == LlamaConfig().rms_norm_eps
