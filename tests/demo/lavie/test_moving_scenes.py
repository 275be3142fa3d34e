"""demo/lavie/moving_scenes.py: where a shape goes, at any rate and size, and what captions say of it."""

from __future__ import annotations

import numpy as np
import pytest

from demo.lavie.moving_scenes import DIRECTIONS, WAYS, frame_times, moving_caption, opposite, random_moving_scene
from demo.lavie.scores import prompt_of, score_video, way_read
from demo.oracle.oracle import read_frames
from demo.world.stills import held_out
from demo.world.world import fits

STAR = ("star", "red", "blue")


def scene(way, combination=STAR, seed=0):
    return random_moving_scene(np.random.default_rng(seed), combination, way=way, style="plain")


def test_a_clip_of_61_frames_has_one_of_16_in_it():
    moving = scene("right")
    few, many = moving.frames(frame_times(16)), moving.frames(frame_times(61))
    assert np.abs(many[::4] - few).max() < 1e-6


@pytest.mark.parametrize("way", WAYS)
def test_a_shape_goes_where_its_scene_says_and_stays_in_sight(way):
    moving = scene(way)
    path = moving.path(frame_times(5))
    gone = path[-1] - path[0]
    assert np.sign(np.round(gone, 6)).tolist() == list(DIRECTIONS[way])
    first = moving.first
    assert all(fits(first.shape, x, y, first.radius, margin=1.9) for x, y in path)


@pytest.mark.parametrize("seed", range(6))
def test_backwards_is_the_same_clip_from_its_end(seed):
    moving = random_moving_scene(np.random.default_rng(seed))
    times = frame_times(7)
    assert np.abs(moving.backwards().frames(times) - moving.frames(times)[::-1]).max() < 1e-4
    assert moving.backwards().way == opposite(moving.way)


@pytest.mark.parametrize("way", WAYS)
def test_the_oracle_reads_rendered_scenes(way):
    scores = score_video(scene(way).frames(frame_times(8)), STAR, way)
    assert (scores["right"], scores["way"]) == (1, 1)


def test_the_oracle_does_not_take_one_way_for_another():
    assert score_video(scene("left").frames(frame_times(8)), STAR, "right")["way"] == 0


def test_four_times_the_size_shows_the_same():
    moving = scene("right")
    large, small = moving.frames([0.5], scale=4), moving.frames([0.5])
    assert large.shape == (1, 384, 384, 3)
    shrunk = large.reshape(1, 96, 4, 96, 4, 3).mean((2, 4))
    assert np.abs(shrunk - small).mean() < 0.02


def test_prompts_name_the_shape_and_where_it_goes():
    assert scene("right").prompt == "a red star moving right on a blue background" == prompt_of(STAR, "right")
    assert scene("still").prompt == "a red star on a blue background"


def test_captions_leave_things_out_and_add_none():
    rng, moving = np.random.default_rng(0), scene("right")
    said = {moving_caption(moving, rng) for _ in range(300)}
    assert moving.prompt in said
    assert any("star" not in text for text in said) and any(text.endswith("moving") for text in said)
    assert not any(word in text for text in said for word in ("left", "circle", "green"))


def test_combinations_that_are_held_out_are_not_drawn():
    rng = np.random.default_rng(1)
    firsts = [random_moving_scene(rng).first for _ in range(200)]
    assert not {(each.shape, each.colour, each.background) for each in firsts} & set(held_out())


def test_a_way_without_a_shape_is_unknown():
    assert way_read(read_frames(np.zeros((8, 96, 96, 3), np.float32))) == "unknown"
