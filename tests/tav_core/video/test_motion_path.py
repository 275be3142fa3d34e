"""tav_core/video/motion_path.py: paths as they are written, and where along them each frame is."""

from __future__ import annotations

import numpy as np
import pytest

from tav_core.errors import ConfigError
from tav_core.video.motion_path import check_path, parse_path, resample_path


def test_frames_are_spread_by_length_and_not_by_points():
    # Three of four points are in the first tenth of the way.
    crowded = [(0.0, 0.5), (0.02, 0.5), (0.04, 0.5), (0.4, 0.5)]
    walked = resample_path(crowded, 5)
    np.testing.assert_allclose(walked, resample_path([crowded[0], crowded[-1]], 5))
    np.testing.assert_allclose(walked[:, 0], [0, 0.1, 0.2, 0.3, 0.4])


def test_both_ends_and_the_corner_are_reached():
    walked = resample_path([(0.1, 0.1), (0.5, 0.1), (0.5, 0.9)], 7)
    np.testing.assert_allclose(walked[[0, -1]], [[0.1, 0.1], [0.5, 0.9]])
    np.testing.assert_allclose(walked[2], (0.5, 0.1))
    steps = np.linalg.norm(np.diff(walked, axis=0), axis=1)
    np.testing.assert_allclose(steps, 0.2)


def test_points_that_repeat_take_no_time():
    np.testing.assert_allclose(resample_path([(0, 0), (0, 0), (1, 0), (1, 0)], 3), [[0, 0], [0.5, 0], [1, 0]])


@pytest.mark.parametrize(
    "text", ["[[0.2, 0.5], [0.8, 0.5]]", "0.2,0.5 0.8,0.5", " 0.2,0.5\n0.8,0.5 ", "0.2, 0.5 0.8 , 0.5"]
)
def test_a_path_is_read_as_json_or_as_pairs(text):
    assert parse_path(text) == [(0.2, 0.5), (0.8, 0.5)]


def test_no_path_and_one_that_leaves_the_frame():
    assert parse_path("") == parse_path("  ") == []
    # An object that enters from the left and leaves to the right; seen in CogVideoXWrapper 182, where it was an error.
    assert check_path(parse_path("-0.3,0.5 1.3,0.5")) == [(-0.3, 0.5), (1.3, 0.5)]


@pytest.mark.parametrize(
    "text", ["[[0.2", "a,b", "0.2", "0.2,0.5,0.7 1,1", "[1, 2]", '{"x": 1}', "nan,0.5 1,1", "[[{}, 1]]"]
)
def test_what_is_no_path_is_refused(text):
    with pytest.raises(ConfigError, match="fractions of the frame"):
        parse_path(text)


def test_pixels_are_told_from_fractions():
    with pytest.raises(ConfigError, match="Divide pixels by the width"):
        parse_path("40,60 200,60")


@pytest.mark.parametrize("points", [[], [(0.5, 0.5)], [(0.5, 0.5), (0.5, 0.5)]])
def test_a_path_needs_two_places(points):
    # Seen in MOFA-Video 35, where one point ended in an error of scipy.
    with pytest.raises(ConfigError, match="two points or more"):
        resample_path(points, 4)
