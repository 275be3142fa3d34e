"""demo/zero_shot.py: what its scores mean, and that the page holds the figures that were measured."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from demo import zero_shot
from demo.world.palette import BACKGROUNDS, COLOURS
from demo.world.sdf import SHAPES
from demo.world.world import Scene, render
from demo.zero_shot import MOVES, WAYS, Way, format_table, make_video, score_video, summarize
from tav_core import load_checkpoint

ROOT = Path(__file__).parents[2]


def moving(move, *, frames=8):
    """A drawn video of an object that moves as the screen shows it under a camera."""
    scene = Scene(
        shape="circle", colour="red", rgb=(0.85, 0.1, 0.1), background="blue", background_rgb=(0.3, 0.4, 0.8), radius=13
    )
    places = [(48 - move[0] * (k - 4), 48 - move[1] * (k - 4)) for k in range(frames)]
    return np.stack([render(dataclasses.replace(scene, x=x, y=y)) for x, y in places])


@pytest.mark.parametrize("move", [(4.0, 1.5), (0.0, -3.0)])
def test_an_object_that_moves_as_asked_has_direction_and_length_one(move):
    scores = score_video(moving(move), move)
    assert scores["direction"] == pytest.approx(1, abs=0.02) and scores["length"] == pytest.approx(1, abs=0.05)
    assert scores["flicker"] < 0.01 < 0.9 < scores["agreement"]


def test_half_as_far_and_the_other_way_are_told_apart():
    scores = score_video(moving((2.0, 0.0)), (4.0, 0.0))
    assert scores["direction"] > 0.99 and scores["length"] == pytest.approx(0.5, abs=0.05)
    assert score_video(moving((-4.0, 0.0)), (4.0, 0.0))["direction"] < -0.99


def test_a_video_that_shows_nothing_has_no_direction():
    scores = score_video(np.random.default_rng(0).random((8, 96, 96, 3), dtype=np.float32), (4.0, 0.0))
    assert math.isnan(scores["direction"]) and scores["agreement"] == 0


def test_prompts_are_of_the_world():
    words = {word for prompt in MOVES for word in prompt.split()} - {"a", "on", "background"}
    assert words <= {*SHAPES, *COLOURS, *BACKGROUNDS}


def test_ways_differ_and_smoothing_renders_twice(monkeypatch):
    monkeypatch.setattr(zero_shot, "CONFIG", dataclasses.replace(zero_shot.CONFIG, num_steps=4, num_frames=3))
    checkpoint, prompt = load_checkpoint(zero_shot.MODEL), next(iter(MOVES))
    videos = {name: make_video(checkpoint, way, prompt, 0) for name, way in WAYS.items()}
    assert all(video.shape == (3, 96, 96, 3) for video in videos.values())
    names = list(videos)
    assert not any(
        np.array_equal(videos[a], videos[b]) for a in names for b in names if a < b and "smoothed" not in (a, b)
    )
    assert WAYS["both"] == Way()


def test_spread_is_over_seeds():
    score = {"direction": 1.0, "length": 1.0, "agreement": 0.5, "flicker": 0.0}
    found = summarize({0: [score, score | {"direction": math.nan}], 1: [score | {"agreement": 0.7}] * 2})
    assert found["mean"]["direction"] == 1.0 and found["mean"]["agreement"] == pytest.approx(0.6)
    assert found["spread"]["agreement"] == pytest.approx(0.1)


def test_the_page_has_the_measured_table():
    table = json.loads((ROOT / "demo" / "zero_shot.json").read_text(encoding="utf-8"))
    assert list(table) == list(WAYS)
    assert format_table(table) in (ROOT / "docs" / "video-from-text.md").read_text(encoding="utf-8")
