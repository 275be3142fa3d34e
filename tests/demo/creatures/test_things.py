import numpy as np
import pytest

from demo.creatures.drawing.canvas import SUPERSAMPLED, blank
from demo.creatures.drawing.pen import Pen
from demo.creatures.things import THINGS, random_thing_look

X, Y, UNIT = 64.0, 80.0, 20.0


def drawn(thing, seed=0, turn=0.0):
    canvas = blank()
    mask = np.zeros(canvas.shape[:2], np.uint8)
    pen = Pen(canvas=canvas, mask=mask, x=X, y=Y, unit=UNIT, turn=turn)
    THINGS[thing](pen, random_thing_look(np.random.default_rng(seed)))
    return canvas, mask


@pytest.mark.parametrize("thing", THINGS)
def test_a_thing_is_noted_in_the_mask_and_looks_vary(thing):
    canvas, mask = drawn(thing)
    assert not canvas[mask == 0].any()
    assert canvas[mask == 255].any(-1).all()
    assert np.array_equal(canvas, drawn(thing)[0])
    assert not np.array_equal(canvas, drawn(thing, seed=1)[0])


@pytest.mark.parametrize("thing", ["apple", "ball"])
def test_apple_and_ball_lie_on_the_ground_and_are_about_one_unit_high(thing):
    rows, columns = (np.flatnonzero(drawn(thing)[1].any(axis)) / SUPERSAMPLED for axis in (1, 0))
    assert rows.max() == pytest.approx(Y, abs=2.5)
    assert np.ptp(rows) == pytest.approx(UNIT, rel=0.25)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(X, abs=3)


def test_a_hat_stands_on_the_head_and_turns_with_it():
    rows, columns = np.nonzero(drawn("hat")[1])
    assert rows.max() / SUPERSAMPLED == pytest.approx(Y, abs=7)
    assert 1 < np.ptp(columns) / SUPERSAMPLED / UNIT < 2.2
    assert np.nonzero(drawn("hat", turn=0.4)[1])[1].mean() < columns.mean() - 4
