"""benchmarks/recipe.py: a rival goes through the same recipe, on the same weights, and gives the same edit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import growth_frames, recipe
from benchmarks.rivals import build_unet

STEPS = {"tune": 1, "invert": 2, "edit": 2}
LINUX = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells of a process's peak memory")


@pytest.fixture
def work(small_case):
    return recipe.as_original(small_case(recompute="blocks"))


def test_a_share_of_the_recipe_keeps_its_proportions():
    assert recipe.count_steps(1) == {"tune": 500, "invert": 50, "edit": 50}
    assert recipe.count_steps(0.1) == {"tune": 50, "invert": 5, "edit": 5}
    assert recipe.count_steps(0.0001) == {"tune": 1, "invert": 1, "edit": 1}


def test_a_rival_samples_what_ours_does(work, close):
    """Before anything is tuned, from the same inversion."""
    rival = recipe.RivalDenoiser(build_unet("plain", work, None), work.denoiser.schedule)
    edits = []
    for denoiser in (work.denoiser, rival):
        parts = recipe.sampling_parts(lambda denoiser=denoiser: denoiser, work, STEPS)
        parts["invert"]()
        edits.append(parts["edit"]())
    close(edits[1], edits[0], 1e-3)


@LINUX
def test_every_part_of_each_is_measured(work):
    plain = build_unet("plain", work, None)
    before = [parameter.clone() for parameter in plain.parameters()]
    found = {"ours": recipe.our_parts(work, STEPS), "plain": recipe.rival_parts(plain, work, STEPS)}
    rows = recipe.measure(found)
    assert {who: list(parts) for who, parts in rows.items()} == {who: list(recipe.RECIPE) for who in found}
    assert all(
        part["cpu_seconds"] > 0 and part["peak_bytes"] > 1e8 for parts in rows.values() for part in parts.values()
    )
    assert all(torch.equal(*pair) for pair in zip(before, plain.parameters(), strict=True)), "the weights are shared"


def test_the_table_adds_the_parts_and_compares_with_ours():
    part = lambda cpu, peak: {"cpu_seconds": cpu, "peak_bytes": peak * 2**30}  # noqa: E731
    ours = {"tune": part(1, 1), "invert": part(2, 3), "edit": part(1, 2)}
    plain = {"tune": part(4, 4), "invert": part(2, 1), "edit": part(2, 1)}
    lines = recipe.format_table({"ours": ours, "plain": plain}).splitlines()
    assert lines[2] == "| ours | 1.0 | 2.0 | 1.0 | 4.0 | 3.00 GiB | 1.00x |"
    assert lines[3] == "| plain | 4.0 | 2.0 | 2.0 | 8.0 | 4.00 GiB | 2.00x |"


@LINUX
def test_a_row_of_the_growth_with_frames(monkeypatch):
    monkeypatch.setattr(growth_frames, "PIXELS", 32)
    monkeypatch.setattr(growth_frames, "FRAMES_IN_ALL", 0)
    row = growth_frames.measure_row(2)
    names = [f"{stage} {unit}" for unit in ("s", "peak MB") for stage in growth_frames.MEASURED]
    assert list(row) == names and all(value > 0 for value in row.values())
    assert row["tune step peak MB"] > 100
