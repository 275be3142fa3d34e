"""nodes/sockets/memory.py: frames that do not fit are told of. Loaded by itself, as chart.py is."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

PATH = Path(__file__).parents[3] / "nodes" / "sockets" / "memory.py"


@pytest.fixture
def memory_warning(monkeypatch):
    """`memory_warning` on a machine with 1 GiB of free memory."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**30))
    spec = importlib.util.spec_from_file_location("memory_alone", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.memory_warning


def test_frames_that_fit_are_not_spoken_of(memory_warning):
    assert memory_warning(341, 512, 512) == ""


def test_frames_that_do_not_fit_are_told_of_with_both_numbers(memory_warning):
    assert memory_warning(9000, 512, 512).startswith("9000 frames of 512x512 need 26.4 GiB of memory, and 1.0 GiB are")
    assert memory_warning(342, 512, 512)
