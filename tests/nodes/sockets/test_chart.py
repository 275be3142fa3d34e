"""nodes/sockets/chart.py: what the cockpit draws. Loaded by itself: the package around it needs ComfyUI."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[3] / "nodes" / "sockets" / "chart.py"


@pytest.fixture(scope="module")
def chart():
    spec = importlib.util.spec_from_file_location("chart_alone", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line_pixels(chart, picture):
    """Rows and columns of the mean's line."""
    return np.argwhere((np.asarray(picture) == chart.LINE).all(-1))


def test_a_falling_loss_falls(chart):
    picture = chart.draw_chart(list(np.linspace(1, 0, 100)), last=100, facts=("step 100",), strip=None)
    assert picture.size == chart.SIZE
    rows, columns = line_pixels(chart, picture).T
    assert rows[columns < 200].mean() < rows[columns > 400].mean()


def test_a_run_half_done_fills_the_left_half(chart):
    picture = chart.draw_chart([0.5] * 50, last=100, facts=(), strip=None)
    assert line_pixels(chart, picture)[:, 1].max() < chart.SIZE[0] * 0.55


@pytest.mark.parametrize("losses", [[], [0.3], [0.0, 0.0], [0.1] * 3])
def test_short_and_flat_runs_are_drawn(chart, losses):
    assert chart.draw_chart(losses, last=max(len(losses), 1), facts=(), strip=None).size == chart.SIZE


def test_a_preview_stands_below(chart):
    strip = np.zeros((4, 16, 16, 3), np.float32)
    strip[..., 0] = 1
    picture = np.asarray(chart.draw_chart([0.5], last=2, facts=(), strip=strip))
    assert picture.shape[0] > chart.SIZE[1]
    assert (picture[chart.SIZE[1] + 5, 250] == (255, 0, 0)).all()


def test_label_and_image(chart):
    assert chart.draw_label("source", 96).shape == (chart.TEXT, 96, 3)
    image = chart.to_image(chart.draw_chart([1.0], last=1, facts=(), strip=None))
    assert image.shape == (1, chart.SIZE[1], chart.SIZE[0], 3)
    assert image.min() >= 0 and image.max() <= 1


def test_a_long_line_is_broken_and_nothing_is_cut_off(chart):
    fact = "learning_rate 0.002 is not used, it was 0.001, " * 3
    picture = np.asarray(chart.draw_chart([0.5], last=2, facts=(fact,), strip=None))
    rows, columns = np.argwhere((picture == chart.INK).all(-1)).T
    assert columns.max() < chart.SIZE[0] - chart.MARGIN and rows.max() > chart.MARGIN + 2 * chart.TEXT


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_a_share_is_a_bar_at_the_top(chart, share):
    picture = chart.draw_chart([0.5], last=2, facts=("a preview",), strip=None, share=share)
    filled = (np.asarray(picture)[chart.BAR // 2] == chart.LINE).all(-1).sum()
    assert abs(filled - share * chart.SIZE[0]) <= 1


def test_labels_break_at_spaces_or_within_long_words(chart):
    lines = chart.break_label("an astronaut is skiing on the moon", 128)
    assert len(lines) > 1 and " ".join(lines) == "an astronaut is skiing on the moon"
    assert "".join(chart.break_label("a" * 40, 128)) == "a" * 40
    lines = chart.break_label("宇航员在月球上滑雪身后是地球", 128)
    assert len(lines) > 1 and "".join(lines) == "宇航员在月球上滑雪身后是地球"
    assert chart.break_label("", 128) == [""]


@pytest.mark.parametrize(("one", "other"), [("猫", "熊"), ("스", "키"), ("雪", "パ"), ("é", "ü"), ("д", "ж")])
def test_letters_are_drawn_and_not_as_one_box(chart, one, other):
    fonts = [font for font in chart.system_fonts() if not (chart.lacks(font, one) or chart.lacks(font, other))]
    if not fonts:
        pytest.skip(f"NO FONT of this system has the letters {one} and {other}: install fonts-noto-cjk, fonts-dejavu")
    assert not np.array_equal(chart.draw_label(one, 96), chart.draw_label(other, 96))


def test_latin_labels_keep_pillows_own_font(chart):
    assert chart.font_for("a man is skiing").getname() == chart.ImageFont.load_default(18).getname()


def test_labels_are_drawn_where_no_font_has_the_letters(chart, monkeypatch):
    monkeypatch.setattr(chart, "system_fonts", tuple)
    assert chart.draw_label("猫", 96, most=2).shape == (2 * chart.TEXT, 96, 3)
