"""demo/creatures/subjects: that drawings keep to their stated size, and that phases and looks tell apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from demo.creatures.drawing.canvas import SIZE, SUPERSAMPLED, blank, shrink
from demo.creatures.drawing.pen import Pen
from demo.creatures.subjects import SUBJECTS, Head, Look

NUM_LOOKS, NUM_PHASES = 50, 16
# A drawing may leave its frame by this share of its height: the soft edge of half a pixel, and a little more.
MARGIN = 0.025
# Width and height that a subject may have, in pixels.
NARROWEST, WIDEST, TALLEST = 55, 86.5, 84

each_subject = pytest.mark.parametrize("name", SUBJECTS)


def drawn(name: str, look: Look, phase: float) -> tuple[np.ndarray, np.ndarray, Head]:
    """A subject of medium height in the middle of a grey picture: the picture, its mask, and its head."""
    subject, canvas = SUBJECTS[name], blank((128, 128, 128))
    mask = np.zeros(canvas.shape[:2], np.uint8)
    pen = Pen(canvas=canvas, mask=mask, x=SIZE / 2, y=110, unit=sum(subject.height) / 2)
    head = subject.draw(pen, look, phase)
    return shrink(canvas), mask > 127, head


def looks(name: str, number: int) -> list[Look]:
    return [SUBJECTS[name].random_look(np.random.default_rng(seed)) for seed in range(number)]


def extent(name: str, mask: np.ndarray) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a mask, in units of the subject's height."""
    rows, columns = np.nonzero(mask)
    unit = sum(SUBJECTS[name].height) / 2
    left, right = (columns.min() / SUPERSAMPLED - SIZE / 2, (columns.max() + 1) / SUPERSAMPLED - SIZE / 2)
    bottom, top = (110 - (rows.max() + 1) / SUPERSAMPLED, 110 - rows.min() / SUPERSAMPLED)
    return left / unit, right / unit, bottom / unit, top / unit


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The share of two masks that only one of them covers."""
    return 1 - (one & other).sum() / (one | other).sum()


def test_the_subjects_are_twelve_in_this_order():
    assert list(SUBJECTS) == [
        *("rabbit", "cat", "bear", "elephant", "giraffe", "duck"),
        *("bird", "fish", "turtle", "robot", "car", "balloon"),
    ]
    assert [name for name, subject in SUBJECTS.items() if subject.floats] == ["bird", "fish", "balloon"]


@each_subject
def test_a_stated_size_fills_the_picture(name):
    low, high = SUBJECTS[name].height
    reach = sum(SUBJECTS[name].reach)
    assert low < high <= TALLEST
    assert NARROWEST <= low * reach < high * reach <= WIDEST


@each_subject
def test_a_drawing_keeps_to_its_stated_size_at_every_phase_in_every_look(name):
    behind, ahead = SUBJECTS[name].reach
    extents = []
    for number, look in enumerate(looks(name, NUM_LOOKS)):
        # Each look is drawn at a few phases, and all looks together at many.
        for phase in (number / NUM_LOOKS + np.arange(4) / 4) % 1:
            extents.append(extent(name, drawn(name, look, phase)[1]))
    left, right, bottom, top = np.transpose(extents)
    assert left.min() >= -behind - MARGIN and right.max() <= ahead + MARGIN
    assert bottom.min() >= -MARGIN and top.max() <= 1 + MARGIN
    # The stated size is not an idle one either.
    assert left.min() <= -0.9 * behind and right.max() >= 0.9 * ahead and top.max() >= 0.93


@each_subject
def test_a_drawing_is_always_the_same(name):
    for look in looks(name, 3):
        (one, mask, head), (other, other_mask, other_head) = drawn(name, look, 0.3), drawn(name, look, 0.3)
        assert np.array_equal(one, other) and np.array_equal(mask, other_mask) and head == other_head


@each_subject
def test_a_cycle_closes_without_a_jump(name):
    (look,) = looks(name, 1)
    masks = [drawn(name, look, phase)[1] for phase in np.arange(NUM_PHASES + 1) / NUM_PHASES]
    steps = [apart(one, other) for one, other in itertools.pairwise(masks)]
    assert apart(masks[0], masks[-1]) < 1e-6
    assert min(steps) > 0.01 and max(steps) < 0.25


@each_subject
def test_opposite_phases_clearly_differ(name):
    (look,) = looks(name, 1)
    masks = [drawn(name, look, phase)[1] for phase in np.arange(NUM_PHASES) / NUM_PHASES]
    half = NUM_PHASES // 2
    for index, mask in enumerate(masks[:half]):
        beside, opposite = apart(mask, masks[index + 1]), apart(mask, masks[index + half])
        assert opposite > 0.12 and opposite > 1.5 * beside, (index, beside, opposite)


@each_subject
def test_a_subject_is_highest_a_quarter_through_its_cycle(name):
    (look,) = looks(name, 1)
    heights = [np.nonzero(drawn(name, look, phase)[1])[0].mean() for phase in (0.25, 0.75)]
    assert heights[0] < heights[1] - 0.04 * sum(SUBJECTS[name].height) / 2 * SUPERSAMPLED


@each_subject
def test_looks_differ(name):
    pictures = [drawn(name, look, 0.0)[0] for look in looks(name, 6)]
    for index, picture in enumerate(pictures):
        assert not any(np.array_equal(picture, other) for other in pictures[:index])
    # Some are alike by chance; others are clearly not.
    assert max(abs(picture - pictures[0]).max() for picture in pictures) > 0.1


@each_subject
def test_a_head_is_on_top_of_the_subject(name):
    """A hat's place: the subject is right below its middle, and just above it only what sticks out of a head."""
    subject = SUBJECTS[name]
    unit = sum(subject.height) / 2
    for look, phase in zip(looks(name, 8), np.arange(8) / 8, strict=True):
        _, mask, head = drawn(name, look, phase)
        row, column = 110 - unit * (head.y - 0.05), SIZE / 2 + unit * head.x
        assert mask[int(row * SUPERSAMPLED), int(column * SUPERSAMPLED)]
        assert 0.35 < head.y < 1 and -subject.reach[0] < head.x - head.size < head.x + head.size < subject.reach[1]
        assert head.size * unit >= 6


@each_subject
def test_a_drawing_turns_and_grows_with_its_pen(name):
    """The head's place is in the pen's own frame, wherever the pen is."""
    (look,) = looks(name, 1)
    heads = [
        SUBJECTS[name].draw(Pen(canvas=blank(), **frame), look, 0.1)
        for frame in ({"x": 64, "y": 110, "unit": 60}, {"x": 40, "y": 90, "unit": 35, "turn": 0.4})
    ]
    assert heads[0].x == pytest.approx(heads[1].x) and heads[0].y == pytest.approx(heads[1].y)
