"""demo/lavie/scores.py: decibels, paths, and what interpolation is compared with."""

from __future__ import annotations

import math

import numpy as np
import pytest

from demo.lavie.moving_scenes import frame_times, random_moving_scene
from demo.lavie.scores import blend, decibels, mean_scores, path_error, seam_ratio


def test_decibels_of_a_known_error():
    truth = np.full((3, 4, 4, 3), 0.5)
    assert decibels(truth + 0.1, truth) == pytest.approx(20)


def test_blended_frames_lie_between_their_keys():
    keys = np.stack([np.full((2, 2, 3), value) for value in (0.0, 1.0, 0.0)])
    blended = blend(keys)
    assert blended[:, 0, 0, 0].tolist() == [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize("way", ["left", "up"])
def test_rendered_frames_are_on_their_path(way):
    moving = random_moving_scene(np.random.default_rng(3), ("square", "red", "white"), way=way, style="plain")
    times = frame_times(6)
    assert path_error(moving.frames(times), moving.path(times)) < 1
    assert path_error(moving.frames(times), moving.path(times) + np.array((30, 0))) > 25


def test_a_seam_shows_as_a_larger_change_at_its_border():
    rng = np.random.default_rng(0)
    truth = np.zeros((32, 4, 4, 3))
    noisy = truth + 0.01 * rng.standard_normal((32, 1, 1, 1))
    jump = 0.1 * (np.arange(32) // 8)[:, None, None, None]
    assert seam_ratio(noisy + jump, truth, range(8, 32, 8)) > 5
    even = 0.01 * (-1.0) ** np.arange(32)[:, None, None, None] + truth
    assert seam_ratio(even, truth, range(8, 32, 8)) == pytest.approx(1)


def test_means_leave_out_what_does_not_apply():
    assert mean_scores([{"psnr": 1.0, "path": math.nan}, {"psnr": 2.0, "path": 3.0}]) == {
        "psnr": 1.5,
        "path": 3.0,
        "count": 2,
    }
