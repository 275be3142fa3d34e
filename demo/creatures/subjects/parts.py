"""Parts that several subjects have."""

from __future__ import annotations

import math

from ..drawing.colours import INK, WHITE, Rgb
from ..drawing.pen import Pen


def eye(pen: Pen, x: float, y: float, size: float, *, pupil: float = 0.66) -> None:
    """A friendly eye of half width `size`, which looks to the right."""
    pen.ellipse(x, y, size, 1.08 * size, WHITE)
    pen.ellipse(x + 0.2 * size, y, pupil * size, 1.12 * pupil * size, INK)
    pen.ellipse(x + 0.38 * size, y + 0.32 * size, 0.3 * size, 0.3 * size, WHITE)


def box(pen: Pen, x: float, y: float, width: float, height: float, colour: Rgb, *, corner: float = 0.05) -> None:
    """A box with half sides `width` and `height` and round corners."""
    points = []
    for turn, (side, end) in enumerate(((1, 1), (-1, 1), (-1, -1), (1, -1))):
        for step in range(5):
            angle = (turn + step / 4) * math.pi / 2
            across = side * (width - corner) + corner * math.cos(angle)
            points.append((x + across, y + end * (height - corner) + corner * math.sin(angle)))
    pen.polygon(points, colour)
