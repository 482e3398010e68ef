"""Shared set-up: few threads, no network, tiny models as fixtures."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch

from tests.tiny import TINY

if "OMP_NUM_THREADS" not in os.environ:  # which sh/test.sh sets, a process per core
    torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(params=sorted(TINY))
def family(request) -> str:
    """Each tiny model family in turn."""
    return request.param


@pytest.fixture(params=["left", "right"])
def side(request) -> str:
    """The padding side that the tokenizer is set to."""
    return request.param


@pytest.fixture
def tiny(family, side):
    """(model, tokenizer) of each family, with the tokenizer padding on each side."""
    return TINY[family](side=side)
