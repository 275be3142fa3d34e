"""`python run.py cascade` with the bundled weights, one step of each model."""

from __future__ import annotations

import numpy as np
import pytest

from demo.lavie.cascade import Cascade
from demo.lavie.moving_scenes import frame_times, random_moving_scene
from demo.show_cascade import PROMPT, describe, show, some_of
from tav_core import read_clip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What one step of each model makes, and the folder."""
    out = tmp_path_factory.mktemp("cascade")
    return show(Cascade(steps=1), PROMPT, out, num_large=1), out


def test_each_stage_makes_its_frames(made):
    frames, _ = made
    assert {name: each.shape for name, each in frames.items()} == {
        "base": (16, 96, 96, 3),
        "interpolated": (61, 96, 96, 3),
        "upscaled": (1, 384, 384, 3),
    }
    assert all(np.isfinite(each).all() for each in frames.values())


def test_it_leaves_videos_and_a_picture(made):
    _, out = made
    assert {path.name for path in out.iterdir()} == {
        "base.mp4",
        "interpolated.mp4",
        "upscaled.mp4",
        "contact_sheet.png",
    }
    assert read_clip(out / "interpolated.mp4", num_frames=61, width=384, height=384).num_frames == 61


def test_it_says_what_the_oracle_sees():
    moving = random_moving_scene(np.random.default_rng(0), ("star", "red", "blue"), way="up", style="plain")
    assert describe(moving.frames(frame_times(8))) == "red star on blue, way: up"


def test_a_sheet_shows_frames_from_the_first_to_the_last():
    assert some_of(np.arange(61.0))[[0, -1]].tolist() == [0, 60]
