"""Shared set-up: few threads, no network, tiny models as fixtures."""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch

from tests.tiny import TINY

if "OMP_NUM_THREADS" not in os.environ:  # which sh/test.sh sets, a process per core
    torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Takes coverage's tracer off for a test marked `untraced`.

    pytest-cov's own marker does not: in a worker of xdist it stops one collector, and another below it goes on.
    """
    tracer = sys.gettrace()
    if not item.get_closest_marker("untraced") or not type(tracer).__module__.startswith("coverage"):
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


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
