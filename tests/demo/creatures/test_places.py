from itertools import pairwise

import numpy as np
import pytest

from demo.creatures.drawing.canvas import SIZE, SUPERSAMPLED, blank
from demo.creatures.places import PLACES, View
from demo.creatures.places.parts import PERIOD, Item, in_sight


def views(place, count, seed=0):
    rng = np.random.default_rng(seed)
    return [PLACES[place].random_view(rng) for _ in range(count)]


def painted(place, view, scroll=0.0, on=(0, 0, 0)):
    canvas = blank(on)
    PLACES[place].draw(canvas, view, scroll)
    return canvas


def moved_by(before, after, top, bottom, farthest=40):
    """By how many pixels of the picture a strip has moved to the left."""
    rows = slice(top * SUPERSAMPLED, bottom * SUPERSAMPLED)
    before, after = before[rows].astype(float), after[rows].astype(float)
    width = before.shape[1] - farthest * SUPERSAMPLED
    errors = [
        np.abs(before[:, shift * SUPERSAMPLED :][:, :width] - after[:, :width]).mean() for shift in range(farthest)
    ]
    return int(np.argmin(errors))


def colours(picture):
    """The mean colours of sixteen fields."""
    field = len(picture) // 4
    return picture.reshape(4, field, 4, field, 3).mean((1, 3)).ravel()


def test_there_are_seven_places():
    assert list(PLACES) == ["meadow", "beach", "snow", "desert", "city", "space", "water"]


@pytest.mark.parametrize("place", PLACES)
def test_a_view_is_drawn_alike_each_time_and_views_differ(place):
    one, other = views(place, 2)
    assert isinstance(one, View)
    assert np.array_equal(painted(place, one, 7.0), painted(place, one, 7.0))
    assert np.abs(painted(place, one).astype(float) - painted(place, other)).mean() > 3
    assert views(place, 1) == views(place, 1)


@pytest.mark.parametrize("place", PLACES)
def test_a_subject_finds_its_ground_below_the_horizon(place):
    for view in views(place, 20):
        assert 100 <= view.ground <= 112
        assert 66 <= view.horizon <= 80


@pytest.mark.parametrize("place", PLACES)
def test_no_gap_is_left_wherever_the_camera_is(place):
    for number, view in enumerate(views(place, 12)):
        scroll = 6.0 * number
        assert np.array_equal(painted(place, view, scroll), painted(place, view, scroll, on=(255, 0, 255)))


@pytest.mark.parametrize("place", PLACES)
def test_what_is_near_moves_with_the_camera_and_what_is_far_hardly_moves(place):
    for view in views(place, 4):
        before, after = painted(place, view, 10.0), painted(place, view, 34.0)
        assert moved_by(before, after, int(view.ground), SIZE) == pytest.approx(24, abs=1)
        assert moved_by(before, after, 0, 12) <= 6


@pytest.mark.parametrize("place", PLACES)
def test_scrolling_is_continuous(place):
    (view,) = views(place, 1)
    frames = [painted(place, view, scroll).astype(float) for scroll in np.arange(0, 65, 1.0)]
    steps = [np.abs(after - before).mean() for before, after in pairwise(frames)]
    assert min(steps) > 0
    assert max(steps) < 3 * np.median(steps)


def test_layers_repeat_out_of_sight():
    items = (Item(x=200.0, y=0.0, size=1.0, colour=(0, 0, 0), lean=0.0),)
    (item,) = in_sight(items, 100.0)
    assert item.x == 100
    assert not list(in_sight(items, 0.0))
    assert [item.x for item in in_sight(items, 190.0 + PERIOD)] == [10]


def test_each_place_is_told_by_its_colours():
    known = [(place, colours(painted(place, view))) for place in PLACES for view in views(place, 12)]
    for place in PLACES:
        for view in views(place, 8, seed=1):
            seen = colours(painted(place, view, 30.0))
            assert min(known, key=lambda each: np.abs(each[1] - seen).sum())[0] == place
