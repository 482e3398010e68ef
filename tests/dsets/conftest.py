"""A stand-in for the embedded world, so that these tests need no generator."""

import sys
import types

import pytest

import dsets
from tests.dsets import made_rows as rows


@pytest.fixture
def world(monkeypatch):
    """`dsets.world` with one CounterFact record, six documents for statistics and two held out."""
    module = types.ModuleType("dsets.world")
    module.records = lambda ds_name: [rows.counterfact(3)]
    module.statistics_documents = lambda: [f"document {i}" for i in range(6)]
    module.heldout_documents = lambda: ["one", "two"]
    monkeypatch.setitem(sys.modules, "dsets.world", module)
    monkeypatch.setattr(dsets, "world", module, raising=False)
    return module
