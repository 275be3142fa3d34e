"""benchmarks/lavie.py: all three are counted, and one 8 GB card holds them as the documentation says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks import lavie
from benchmarks.lavie import cases, count, main

CARD = 8 * 2**30


@pytest.mark.parametrize("name", ["base", "interpolation", "super-resolution, chunk 4"])
def test_each_fits_a_card_of_8_gb(name):
    counted = count(cases()[name], torch.float16)
    assert counted["held"] < counted["peak"] < 0.9 * CARD


def test_frames_cost_memory_and_weights_do_not():
    base = cases()["base"]
    few, more = (count(replace(base, num_frames=frames), torch.float16) for frames in (2, 4))
    assert few["held"] == more["held"]
    ratio = (more["peak"] - more["held"]) / (few["peak"] - few["held"])
    assert ratio == pytest.approx(2, rel=0.2)


def test_the_table_has_a_row_for_each(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["lavie"])
    monkeypatch.setattr(lavie, "count", lambda case, dtype: {"held": 2**30, "peak": 2**31, "estimate": 2**30})
    main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(cases())
    assert all("1.00" in line and "2.00" in line for line in lines[1:])
