import cv2
import numpy as np
import pytest

from demo.creatures.drawing.canvas import SIZE, SUPERSAMPLED, blank
from demo.creatures.drawing.pen import Pen
from demo.creatures.places import PLACES
from demo.creatures.styles import STYLES

RED = (214, 52, 58)
SIDE = SIZE * SUPERSAMPLED


def layers(place="meadow", x=64.0, seed=0):
    """The scenery, the picture with a red egg on it, and the egg's mask."""
    scenery = blank()
    PLACES[place].draw(scenery, PLACES[place].random_view(np.random.default_rng(seed)), 0.0)
    picture, mask = scenery.copy(), np.zeros(scenery.shape[:2], np.uint8)
    Pen(canvas=picture, mask=mask, x=x, y=70).ellipse(0, 0, 18, 30, RED)
    return scenery, picture, mask


def test_styles_are_the_four_that_captions_name():
    assert list(STYLES) == ["plain", "sketch", "pixel art", "watercolor"]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("place", PLACES)
def test_a_style_keeps_the_shape_and_leaves_its_inputs_alone(style, place):
    given = layers(place)
    before = [each.copy() for each in given]
    styled = STYLES[style](*given, 3)
    assert styled.shape == (SIDE, SIDE, 3) and styled.dtype == np.uint8
    assert all(np.array_equal(one, other) for one, other in zip(given, before, strict=True))


@pytest.mark.parametrize("style", STYLES)
def test_a_seed_means_the_same_paper(style):
    assert np.array_equal(STYLES[style](*layers(), 5), STYLES[style](*layers(), 5))


@pytest.mark.parametrize("style", ["sketch", "watercolor"])
def test_another_seed_means_other_paper(style):
    assert not np.array_equal(STYLES[style](*layers(), 5), STYLES[style](*layers(), 6))


@pytest.mark.parametrize("style", STYLES)
def test_nothing_flickers_away_from_a_subject_that_moves(style):
    one, other = layers(x=60.0), layers(x=63.0)
    changed = (STYLES[style](*one, 5) != STYLES[style](*other, 5)).any(-1)
    near = cv2.dilate(one[2] | other[2], np.ones((41, 41), np.uint8)) > 0
    assert changed.any()
    assert not changed[~near].any()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("place", PLACES)
def test_a_subject_stands_out(style, place):
    given = layers(place)
    styled = STYLES[style](*given, 5).astype(float)
    outline = cv2.morphologyEx(given[2], cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8)) > 0
    empty = STYLES[style](given[0], given[0], np.zeros_like(given[2]), 5)
    assert np.abs(styled - empty)[outline].mean() > 25


def test_a_sketch_has_hardly_any_colour_and_a_dark_outline():
    given = layers()
    styled = STYLES["sketch"](*given, 5).astype(int)
    assert np.ptp(styled, axis=-1).max() < 45
    outline = cv2.morphologyEx(given[2], cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 128
    assert styled[outline].mean() < 90 < 150 < styled[~outline].mean()


def test_pixel_art_has_square_blocks_in_few_colours():
    styled = STYLES["pixel art"](*layers(), 5)
    block = 4 * SUPERSAMPLED
    assert np.array_equal(styled, styled[::block, ::block].repeat(block, 0).repeat(block, 1))
    assert len(np.unique(styled.reshape(-1, 3), axis=0)) < 56


def test_a_watercolor_is_lighter_and_has_a_white_border():
    given = layers("water")
    styled = STYLES["watercolor"](*given, 5)
    border = np.ones((SIDE, SIDE), bool)
    border[4:-4, 4:-4] = False
    assert styled[border].mean() > 235
    assert styled[40:-40, 40:-40].mean() > given[1][40:-40, 40:-40].mean() + 10
