import colorsys

import numpy as np
import pytest

from demo.oracle import masks


def test_components_come_apart_largest_first():
    mask = np.zeros((12, 12), bool)
    mask[1:3, 1:3] = True
    mask[5:10, 5:10] = True
    mask[3, 3] = True  # touches the first only by a corner
    parts = masks.components(mask)
    assert [int(part.sum()) for part in parts] == [25, 4, 1]
    assert np.array_equal(np.any(parts, axis=0), mask)


def test_components_do_not_wrap_round_the_picture():
    mask = np.zeros((4, 6), bool)
    mask[1, 5] = mask[2, 0] = True
    assert len(masks.components(mask)) == 2


def test_holes_are_filled_and_bays_are_not():
    ring = np.zeros((9, 9), bool)
    ring[1:8, 1:8] = True
    ring[3:6, 3:6] = False
    assert masks.fill_holes(ring).sum() == 49
    ring[4, 0:4] = False
    assert masks.fill_holes(ring).sum() == ring.sum()


def test_erode_and_dilate_are_opposites_on_a_square():
    square = np.zeros((11, 11), bool)
    square[3:8, 3:8] = True
    assert masks.erode(square).sum() == 9
    assert masks.dilate(square).sum() == 45


def test_blur_keeps_means_and_flattens_peaks():
    spot = np.zeros((21, 21), np.float64)
    spot[10, 10] = 1
    soft = masks.blur(spot, 1.0)
    assert soft.sum() == pytest.approx(1) and soft.max() < 0.2
    assert masks.blur(np.full((5, 5, 3), 0.3), 2.0) == pytest.approx(np.full((5, 5, 3), 0.3))


def test_hsv_agrees_with_the_standard_library():
    colours = np.random.default_rng(0).random((50, 3))
    hue, saturation, value = masks.hsv(colours)
    for i, colour in enumerate(colours):
        wanted = colorsys.rgb_to_hsv(*colour)
        assert (hue[i] / 360, saturation[i], value[i]) == pytest.approx(wanted, abs=1e-5)
