"""Charts: points where they belong, gaps where there is no number, and valid SVG."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from tav_core.evaluation.charts import BOTTOM, HEIGHT, INSET, LEFT, RIGHT, TOP, WIDTH, draw_lines, draw_losses


def lines_of(svg):
    """The points of every line, as pairs."""
    found = ElementTree.fromstring(svg).iter("polyline")
    return [[tuple(map(float, point.split(","))) for point in line.get("points").split()] for line in found]


def test_ends_lie_at_the_edges():
    (line,) = lines_of(draw_lines({"a": (1.0, 3.0, 2.0)}, first=0, across="frame"))
    top, bottom = TOP + INSET, HEIGHT - BOTTOM - INSET
    middle = (LEFT + WIDTH - RIGHT) / 2
    assert line == [(LEFT, bottom), (middle, top), (WIDTH - RIGHT, (top + bottom) / 2)]


def test_curves_share_both_axes():
    first, second = lines_of(draw_lines({"a": (0.0, 4.0), "b": (1.0, 2.0, 3.0)}, first=1, across="frame"))
    assert first[0][0] == second[0][0] and first[1][0] == second[1][0] < second[2][0]
    assert first[1][1] < second[2][1] < second[1][1] < second[0][1] < first[0][1]


def test_what_is_no_number_is_a_gap():
    svg = draw_lines({"a": (1.0, 2.0, math.nan, 3.0, math.inf, 1.0, 2.0)}, first=0, across="frame")
    assert [len(line) for line in lines_of(svg)] == [2, 2]
    assert len(list(ElementTree.fromstring(svg).iter("circle"))) == 1


@pytest.mark.parametrize("curve", [(), (math.nan,), (0.0, 0.0), (5.0, 5.0), (-3.0,), (1e-9, 2e-9)])
def test_odd_curves_are_drawn(curve):
    svg = draw_lines({"<&>": curve}, first=0, across="a < b")
    ElementTree.fromstring(svg)
    assert "nan" not in svg and "inf" not in svg


@pytest.mark.parametrize("losses", [(0.5,), (0.0, 0.0), (math.nan, 0.2), tuple(0.1 * i for i in range(100))])
def test_losses_are_dots_and_their_mean_a_line(losses):
    svg = draw_losses(losses)
    finite = sum(map(math.isfinite, losses))
    assert len(re.findall(r'r="1.5"', svg)) == finite
    assert sum(map(len, lines_of(svg))) == (81 if len(losses) == 100 else 0)
    assert "nan" not in svg


def test_the_mean_is_of_the_steps_up_to_there():
    losses = [1.0] * 20 + [0.0] * 20
    (line,) = lines_of(draw_losses(losses))
    top, bottom = TOP + INSET, HEIGHT - BOTTOM - INSET
    assert line[0][1] == pytest.approx(top) and line[-1][1] == pytest.approx(bottom)
    assert line[10][1] == pytest.approx((top + bottom) / 2)
