"""demo/creatures/moving_scenes.py, and that a start for tunings is learned from these scenes."""

from __future__ import annotations

import numpy as np
import pytest

from demo.creatures.moving_scenes import random_moving_scene
from demo.creatures.oracle import Oracle
from demo.creatures.scene import centre
from demo.creatures.stills import held_out, seen
from demo.lavie.moving_scenes import frame_times
from demo.train_start import NUM_FRAMES, draw_scenes


def scene(way, pair=("turtle", "meadow"), seed=0):
    return random_moving_scene(np.random.default_rng(seed), pair, way=way)


@pytest.mark.parametrize(("way", "axis", "sign"), [("left", 0, 1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)])
def test_a_subject_goes_where_its_scene_says(way, axis, sign):
    moving = scene(way, ("balloon", "meadow"))
    path = np.array([centre(moving.at(time)) for time in frame_times(5)])
    assert np.all(np.diff(path[:, axis]) * sign > 0) and ((path > 0) & (path < 128)).all()


def test_what_goes_to_the_left_is_mirrored():
    moving = scene("left")
    (picture,) = moving.frames([0.0])
    (other,) = random_moving_scene(np.random.default_rng(0), ("turtle", "meadow"), way="right").frames([0.0])
    np.testing.assert_array_equal(picture, other[:, ::-1])


def test_a_subject_that_stands_stays():
    frames = scene("still").frames(frame_times(3))
    assert np.abs(frames - frames[0]).max() == 0


def test_prompts_name_subject_place_and_way():
    assert scene("left", seed=1).prompt == "a turtle is walking to the left on the meadow"
    assert scene("still", seed=1).prompt == "a turtle is standing on the meadow"


def test_a_start_is_learned_from_scenes_of_this_world_that_are_not_held_out():
    scenes = draw_scenes(20)
    pairs = {(each.first.subject, each.first.place) for each in scenes}
    assert len(pairs) > 10 and pairs <= set(seen()) - set(held_out())
    moving = next(each for each in scenes if each.first.style == "plain")
    frames = moving.frames(frame_times(NUM_FRAMES))
    assert frames.shape == (NUM_FRAMES, 128, 128, 3)
    read = Oracle().read(frames)
    assert [each.subject for each in read] == [moving.first.subject] * NUM_FRAMES
