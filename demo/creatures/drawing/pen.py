"""A pen that fills smooth shapes with colour, and notes where it drew.

A pen has a frame of its own: x to the right, y up, the origin at a place of the picture, and a unit of some pixels. So
a creature is drawn once, in units of its own height, wherever it stands and however large it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np

from .canvas import density
from .colours import Rgb

_FRACTION_BITS = 4
Points = Sequence[tuple[float, float]] | np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pen:
    """Fills shapes on a canvas.

    Args:
        canvas: uint8 `h w 3`, drawn on in place; of any size; the picture is `SIZE` units wide.
        mask: uint8 `h w`, in which everything drawn is 255; None to note nothing.
        x, y: where this frame's origin is, in pixels of the picture (y down).
        unit: pixels of the picture per unit of this frame.
        turn: of this frame, in radians, counterclockwise.
    """

    canvas: np.ndarray
    mask: np.ndarray | None = None
    x: float = 0.0
    y: float = 0.0
    unit: float = 1.0
    turn: float = 0.0

    def to_pixels(self, points: Points) -> np.ndarray:
        """Points of this frame as places in the picture, `n 2`."""
        points = np.asarray(points, np.float64)
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        x = points[:, 0] * cos - points[:, 1] * sin
        y = points[:, 0] * sin + points[:, 1] * cos
        return np.stack([self.x + self.unit * x, self.y - self.unit * y], axis=1)

    def moved(self, x: float = 0.0, y: float = 0.0, *, turn: float = 0.0, scale: float = 1.0) -> Pen:
        """A pen whose frame has its origin at a point of this one, turned and scaled about it."""
        ((left, top),) = self.to_pixels([(x, y)])
        return dataclasses.replace(self, x=left, y=top, unit=self.unit * scale, turn=self.turn + turn)

    def polygon(self, points: Points, colour: Rgb) -> None:
        """A filled polygon with straight sides."""
        fixed = np.round((self.to_pixels(points) * density(self.canvas) - 0.5) * (1 << _FRACTION_BITS)).astype(np.int32)
        cv2.fillPoly(self.canvas, [fixed], tuple(float(part) for part in colour), cv2.LINE_AA, _FRACTION_BITS)
        if self.mask is not None:
            cv2.fillPoly(self.mask, [fixed], 255, cv2.LINE_AA, _FRACTION_BITS)

    def blob(self, points: Points, colour: Rgb) -> None:
        """A filled closed curve that runs smoothly through points (Catmull-Rom)."""
        at = np.asarray(points, np.float64)
        before, after, later = np.roll(at, 1, 0), np.roll(at, -1, 0), np.roll(at, -2, 0)
        t = (np.arange(8) / 8)[None, :, None]
        before, at, after, later = (each[:, None] for each in (before, at, after, later))
        curve = 0.5 * (
            2 * at
            + (after - before) * t
            + (2 * before - 5 * at + 4 * after - later) * t**2
            + (3 * at - before - 3 * after + later) * t**3
        )
        self.polygon(curve.reshape(-1, 2), colour)

    def ellipse(
        self, x: float, y: float, width: float, height: float, colour: Rgb, *, turn: float = 0.0, num_points: int = 28
    ) -> None:
        """A filled ellipse with half axes `width` and `height`, turned by radians."""
        angles = np.linspace(0, 2 * math.pi, num_points, endpoint=False)
        along, across = width * np.cos(angles), height * np.sin(angles)
        cos, sin = math.cos(turn), math.sin(turn)
        self.polygon(np.stack([x + along * cos - across * sin, y + along * sin + across * cos], 1), colour)

    def limb(self, points: Points, start: float, end: float, colour: Rgb) -> None:
        """A stroke with round ends along two points, or smoothly through three; half width from `start` to `end`."""
        course = np.asarray(points, np.float64)
        if len(course) == 3:
            t = np.linspace(0, 1, 9)[:, None]
            first, middle, last = course
            control = 2 * middle - (first + last) / 2
            course = (1 - t) ** 2 * first + 2 * t * (1 - t) * control + t**2 * last
        widths = np.linspace(start, end, len(course))[:, None]
        along = np.gradient(course, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
        across = np.stack([-along[:, 1], along[:, 0]], 1) * widths
        self.polygon(np.concatenate([course + across, (course - across)[::-1]]), colour)
        for (x, y), width in ((course[0], start), (course[-1], end)):
            self.ellipse(x, y, width, width, colour, num_points=14)
