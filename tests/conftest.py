"""Shared set-up: few threads, no network, tiny models as fixtures."""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch

from tests.tiny import OTHER_SIDES, TINY

if "OMP_NUM_THREADS" not in os.environ:  # which sh/test.sh sets, a process per core
    torch.set_num_threads(min(2, os.cpu_count() or 1))


def untraced(item) -> bool:
    """Marked so, or the second case of a test that takes both tiny families through the same lines."""
    family = getattr(item, "callspec", None) and item.callspec.params.get("family")
    return bool(item.get_closest_marker("untraced")) or family in sorted(TINY)[1:]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Takes coverage's tracer off for a test that is `untraced`.

    pytest-cov's own marker does not: in a worker of xdist it stops one collector, and another below it goes on.
    """
    tracer = sys.gettrace()
    if not untraced(item) or not type(tracer).__module__.startswith("coverage"):
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


@pytest.fixture
def tiny(family):
    """(model, tokenizer) of each family, whose tokenizer pads on the side that is not its default."""
    return TINY[family](side=OTHER_SIDES[family])
