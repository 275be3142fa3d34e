"""Line charts as SVG, for the report. They are drawn here, so that the page needs no script and no library."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence

# Okabe and Ito's palette, which colour-blind readers can tell apart too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
WIDTH, HEIGHT = 460, 190
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 12, 26
# Between the frame and the highest and lowest values.
INSET = 8
SMOOTHING = 20


def draw_lines(curves: Mapping[str, Sequence[float]], *, first: int, across: str) -> str:
    """One chart of several curves over the same axis.

    Args:
        curves: label to values; a value that is not finite leaves a gap.
        first: the first value's place on the horizontal axis.
        across: the name of that axis.
    """
    finite = [value for curve in curves.values() for value in curve if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    longest = max((len(curve) for curve in curves.values()), default=0)
    lines = [
        draw_curve(curve, low=low, high=high, count=longest, colour=COLOURS[number % len(COLOURS)], label=label)
        for number, (label, curve) in enumerate(curves.items())
    ]
    return wrap([draw_axes(low, high, first, first + max(longest, 1) - 1, across), *lines])


def draw_losses(losses: Sequence[float]) -> str:
    """Draws each step's loss as a dot and the running mean as a line; a single loss depends mostly on its timestep."""
    high = max((loss for loss in losses if math.isfinite(loss)), default=1.0) or 1.0
    place = placer(low=0.0, high=high, count=len(losses))
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.5"/>'
        for x, y in (place(step, loss) for step, loss in enumerate(losses) if math.isfinite(loss))
    )
    window = max(1, min(SMOOTHING, len(losses)))
    means = [math.nan] * (window - 1)
    means += [sum(losses[end - window : end]) / window for end in range(window, len(losses) + 1)]
    line = draw_curve(means, low=0.0, high=high, count=len(losses), colour=COLOURS[0], label=f"mean of {window} steps")
    return wrap([draw_axes(0.0, high, 1, len(losses), "step"), f'<g fill="#9fbfdc">{dots}</g>', line])


def placer(*, low: float, high: float, count: int) -> Callable[[int, float], tuple[float, float]]:
    """A function from (index, value) to a point of the chart."""
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM - 2 * INSET

    def place(index: int, value: float) -> tuple[float, float]:
        return LEFT + wide * index / max(count - 1, 1), TOP + INSET + tall * (high - value) / (high - low)

    return place


def draw_curve(curve: Sequence[float], *, low: float, high: float, count: int, colour: str, label: str) -> str:
    """Draws one curve; a single point between gaps becomes a dot."""
    place = placer(low=low, high=high, count=count)
    runs: list[list[str]] = [[]]
    for index, value in enumerate(curve):
        if not math.isfinite(value):
            runs.append([])
            continue
        x, y = place(index, value)
        runs[-1].append(f"{x:.1f},{y:.1f}")
    lines = [f'<polyline points="{" ".join(run)}"/>' for run in runs if len(run) > 1]
    dots = [
        f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'
        for x, y in (run[0].split(",") for run in runs if len(run) == 1)
    ]
    title = f"<title>{html.escape(label)}</title>"
    return f'<g fill="none" stroke="{colour}" stroke-width="1.8">{title}{"".join(lines + dots)}</g>'


def draw_axes(low: float, high: float, first: int, last: int, across: str) -> str:
    """Draws the frame, the bounds of both axes, and the name of the horizontal axis."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    texts = [
        (LEFT - 5, TOP + INSET + 4, "end", f"{high:.4g}"),
        (LEFT - 5, bottom - INSET + 4, "end", f"{low:.4g}"),
        (LEFT, HEIGHT - 8, "start", str(first)),
        (right, HEIGHT - 8, "end", str(last)),
        ((LEFT + right) / 2, HEIGHT - 8, "middle", across),
    ]
    written = "".join(
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{html.escape(text)}</text>'
        for x, y, anchor, text in texts
    )
    frame = f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}"/>'
    return f'<g fill="none" stroke="#c8c8c8">{frame}</g><g fill="#444" font-size="11">{written}</g>'


def wrap(parts: Sequence[str]) -> str:
    """An SVG of the parts."""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'
