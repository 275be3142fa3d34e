"""demo/lavie/moving_scenes.py: where a subject goes, at any rate and size, and what captions say of it."""

from __future__ import annotations

import numpy as np
import pytest

from demo.creatures.stills import held_out
from demo.lavie.moving_scenes import SAYINGS, frame_times, moving_caption, random_moving_scene
from demo.lavie.scores import score_video, way_read, ways_of


def scene(way, pair=("turtle", "meadow"), seed=0):
    return random_moving_scene(np.random.default_rng(seed), pair, way=way, style="plain")


def test_a_clip_of_61_frames_has_one_of_16_in_it():
    moving = scene("right")
    few, many = moving.frames(frame_times(16)), moving.frames(frame_times(61))
    assert np.abs(many[::4] - few).max() < 1e-6


@pytest.mark.parametrize(("way", "axis", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)])
def test_a_subject_goes_where_its_scene_says(way, axis, sign):
    path = scene(way, ("balloon", "meadow")).path(frame_times(5))
    assert np.all(np.diff(path[:, axis]) * sign > 0)
    assert ((path > 0) & (path < 128)).all()


def test_a_subject_that_stands_stays():
    path = scene("still").path(frame_times(5))
    assert np.abs(path - path[0]).max() < 1e-6


@pytest.mark.parametrize("way", ["left", "right", "still"])
def test_the_oracle_reads_rendered_scenes(way):
    moving = scene(way)
    scores = score_video(moving.frames(frame_times(8)), ("turtle", "meadow"), way)
    assert (scores["right"], scores["way"]) == (1, 1)


def test_four_times_the_size_shows_the_same():
    moving = scene("right")
    large, small = moving.frames([0.5], scale=4), moving.frames([0.5])
    assert large.shape == (1, 512, 512, 3)
    shrunk = large.reshape(1, 128, 4, 128, 4, 3).mean((2, 4))
    assert np.abs(shrunk - small).mean() < 0.02


def test_prompts_name_subject_place_and_way():
    assert scene("left").prompt == "a turtle is walking to the left on the meadow"
    assert scene("still").prompt == "a turtle is standing on the meadow"


def test_captions_leave_things_out_and_add_none():
    rng, moving = np.random.default_rng(0), scene("right")
    said = {moving_caption(moving, rng) for _ in range(200)}
    assert moving.prompt in said
    assert any("turtle" not in text for text in said) and any(SAYINGS["right"] not in text for text in said)
    assert not any(word in text for text in said for word in ("left", "rabbit", "snow"))


def test_pairs_that_are_held_out_are_not_drawn():
    rng = np.random.default_rng(1)
    drawn = {(each.first.subject, each.first.place) for each in (random_moving_scene(rng) for _ in range(300))}
    assert not drawn & set(held_out())


def test_only_what_floats_goes_up_and_down():
    assert ways_of("balloon") == ("left", "right", "up", "down")
    assert ways_of("car") == ("left", "right", "still")


def test_a_way_without_a_subject_is_unknown():
    from demo.creatures.oracle import Oracle

    assert way_read(Oracle().read(np.zeros((8, 128, 128, 3), np.float32))) == "unknown"
