"""demo/tuning_steps.py: one run is scored on its way as shorter runs would be at their end."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from demo import tuning_steps
from demo.study.worlds import shapes
from demo.tuning_steps import average, format_table, held_loss, motions_at, run_clip, save_plot
from demo.world.clips import clip_named
from tav_core import InflatedUNet, UNetDenoiser, encode_prompt, load_checkpoint


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(tuning_steps.MODEL)


@pytest.fixture
def untuned(checkpoint):
    return UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet, seed=0), schedule=checkpoint.schedule)


def test_a_motion_on_the_way_is_a_shorter_runs(checkpoint, untuned):
    clip = clip_named("slide")
    both = motions_at(untuned, clip, checkpoint, (1, 2), seed=0)
    (alone,) = motions_at(untuned, clip, checkpoint, (1,), seed=0).values()
    assert list(both) == [1, 2]
    assert all(torch.equal(both[1].deltas[name], delta) for name, delta in alone.deltas.items())


def test_the_held_loss_is_of_the_same_draws_every_time(checkpoint, untuned, monkeypatch):
    latents = torch.randn((1, 4, 3, 4, 4), generator=torch.Generator().manual_seed(1))
    context = encode_prompt(checkpoint, "a red circle")
    loss = held_loss(untuned, latents, context)
    assert held_loss(untuned, latents, context) == loss
    monkeypatch.setattr(tuning_steps, "HELD_SEED", 1)
    assert held_loss(untuned, latents, context) != loss


def test_a_clip_is_scored_once(tmp_path, monkeypatch):
    short = dataclasses.replace(shapes(), sampling=dataclasses.replace(shapes().sampling, num_steps=1))
    monkeypatch.setattr(tuning_steps, "shapes", lambda: short)
    monkeypatch.setattr(tuning_steps, "HELD_DRAWS", 1)
    small = dataclasses.replace(clip_named("slide"), edits=clip_named("slide").edits[3:5])
    monkeypatch.setattr(tuning_steps, "clip_named", lambda name: small)
    rows = run_clip("slide", 0, (1,), tmp_path)
    assert set(rows) == {"1"} and rows["1"]["held_loss"] > 0
    assert [each["changes"] for each in rows["1"]["edits"]] == [["shape", "colour"], ["shape"]]
    assert set(tuning_steps.COLUMNS) <= set(rows["1"]["edits"][0])
    (path,) = tmp_path.glob("*.json")
    path.write_text(json.dumps({"1": "kept"}))
    assert run_clip("slide", 0, (1,), tmp_path) == {"1": "kept"}


def test_table_and_plot(tmp_path):
    def row(value, changes):
        edits = [{**dict.fromkeys(tuning_steps.COLUMNS, value), "changes": changes}]
        return {step: {"held_loss": 0.1, "edits": edits} for step in ("25", "50")}

    rows = [row(0.2, ["shape"]), row(0.4, ["shape"]), row(0.9, ["colour"])]
    table = average(rows)
    assert table["25"]["kept"] == pytest.approx(0.5)
    assert average(rows, "shape")["50"]["path"] == pytest.approx(0.3)
    assert format_table(table).splitlines()[2] == "| 25 | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 | 0.100 |"
    assert save_plot(tmp_path / "plot.png", table).stat().st_size > 5000


def test_the_committed_figures_are_those_of_the_table():
    """The page's table comes from the JSON that a run wrote."""
    kept = json.loads((tuning_steps.MODEL.parent / "tuning_steps.json").read_text())
    page = (tuning_steps.MODEL.parents[1] / "docs" / "tuning-steps.md").read_text(encoding="utf-8")
    assert format_table(kept["tables"]["all edits"]) in page
    assert format_table(average(list(kept["each"].values()))) in page
