"""benchmarks/growth_frames.py: a row is measured in a process of its own, and one that fails is no figure."""

from __future__ import annotations

import pytest

from benchmarks import growth_frames


def test_a_row_has_the_time_and_the_peak_of_every_stage(monkeypatch):
    runs = []
    plain = growth_frames.time_run
    monkeypatch.setattr(growth_frames, "PIXELS", 32)
    monkeypatch.setattr(growth_frames, "FRAMES_IN_ALL", 4)
    monkeypatch.setattr(growth_frames, "time_run", lambda *given: runs.append(given) or plain(*given))
    row = growth_frames.measure_row(2)
    stages = list(growth_frames.MEASURED)
    assert list(row) == [f"{stage} s" for stage in stages] + [f"{stage} peak MB" for stage in stages]
    assert len(runs) == 3 * len(stages)
    assert all(value > 0 for value in row.values())


def test_a_row_that_fails_says_why():
    with pytest.raises(RuntimeError, match="num_frames 0"):
        growth_frames.measured_frames(0)
