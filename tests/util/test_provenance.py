"""The most memory that a run held is its own, not that of an earlier run of the process."""

import sys

import pytest
import torch

from util.provenance import peak_memory_bytes, reset_peak_memory

CPU = torch.device("cpu")
LARGE = 256 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a process's peak")
def test_a_peak_is_forgotten_at_a_reset():
    held = bytearray(b"x") * LARGE
    high = peak_memory_bytes(CPU)
    del held
    assert reset_peak_memory(CPU)
    assert peak_memory_bytes(CPU) < high - LARGE // 2
    held = bytearray(b"x") * LARGE
    assert peak_memory_bytes(CPU) > high - LARGE // 2
    del held


def test_where_it_cannot_be_forgotten_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("util.provenance.REFERENCES", tmp_path / "absent" / "clear_refs")
    monkeypatch.setattr("util.provenance.STATUS", tmp_path / "status")
    assert not reset_peak_memory(CPU)
    assert peak_memory_bytes(CPU) > 0
