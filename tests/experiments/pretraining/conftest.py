"""A small world and its tokenizer, made once per file of tests."""

import pytest

from dsets import world
from experiments.pretraining import world_report
from experiments.pretraining.model import train_tokenizer
from tests.experiments.pretraining.tiny_run import TINY


@pytest.fixture(scope="module", autouse=True)
def few():
    """What is measured of a model is measured on few facts: its values say nothing here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_report, "TRACED", 20)
        patch.setattr(world_report, "UNKNOWN", 40)
        yield


@pytest.fixture(scope="module")
def known():
    return world.make_world(scale=TINY.world_scale)


@pytest.fixture(scope="module")
def tokenizer(known):
    return train_tokenizer([document.text for document in world.documents(known, 0)], TINY.vocab)
