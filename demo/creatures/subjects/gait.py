"""How subjects move: one cycle, whose phase is in [0, 1).

At phase 0 a subject is stretched out, at 0.25 it is highest, at 0.5 it is gathered, and at 0.75 it is lowest. Its body
rises and pitches with its limbs, so that a blurred outline still tells the phase.
"""

from __future__ import annotations

import dataclasses
import math

from ..drawing.colours import Rgb, darker
from ..drawing.pen import Pen

# The far legs follow the near ones by this much of a cycle. Legs that alternate would look alike half a cycle later.
FAR_LAG = 0.06
FAR_SHADE = 0.22

Point = tuple[float, float]


def swing(phase: float) -> float:
    """How far a subject is stretched out: 1 at phase 0, and -1 (gathered) at phase 0.5."""
    return math.cos(2 * math.pi * phase)


def lift(phase: float) -> float:
    """How high a subject is: 1 at phase 0.25, and -1 at phase 0.75."""
    return math.sin(2 * math.pi * phase)


def carried(pen: Pen, phase: float, pivot: Point, *, rise: float = 0.05, pitch: float = 0.11) -> Pen:
    """The pen for a body that rises by `rise` and pitches by `pitch` radians about a pivot."""
    x, y = pivot
    return pen.moved(x, y + rise * lift(phase), turn=pitch * swing(phase)).moved(-x, -y)


def seen_from(pen: Pen, inner: Pen, point: Point) -> Point:
    """The place in a pen's frame of a point in another pen's frame."""
    ((left, top),) = inner.to_pixels([point])
    x, y = (left - pen.x) / pen.unit, (pen.y - top) / pen.unit
    cos, sin = math.cos(pen.turn), math.sin(pen.turn)
    return float(x * cos + y * sin), float(y * cos - x * sin)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leg:
    """A leg from a hip, which the body carries, to a foot on the ground.

    Args:
        hip: the leg's start, in the body's frame.
        foot: where the foot is in the middle of its stride.
        stride: how far ahead of that it is when stretched out; negative for a hind leg.
        thick, thin: half the width at the hip and at the foot.
        knee: how far ahead of the straight line the middle is.
        step: how high the foot is lifted.
        toe: how far ahead of the ankle the foot extends.
    """

    hip: Point
    foot: float
    stride: float
    thick: float
    thin: float
    knee: float = 0.0
    step: float = 0.07
    toe: float = 0.03

    def draw(self, pen: Pen, body: Pen, phase: float, colour: Rgb, foot_colour: Rgb | None = None) -> None:
        """Draws the leg at a phase."""
        hip_x, hip_y = seen_from(pen, body, self.hip)
        x, y = self.foot + self.stride * swing(phase), self.thin + self.step * max(lift(phase), 0)
        middle = ((hip_x + x) / 2 + self.knee, (hip_y + y) / 2)
        pen.limb([(hip_x, hip_y), middle, (x, y)], self.thick, self.thin, colour)
        pen.ellipse(x + self.toe, y - 0.1 * self.thin, self.thin + self.toe, 0.9 * self.thin, foot_colour or colour)

    def draw_far(self, pen: Pen, body: Pen, phase: float, colour: Rgb, *, ahead: float = 0.09) -> None:
        """Draws the leg of the far side that goes with this one: darker, a little ahead, and a little later."""
        far = dataclasses.replace(self, hip=(self.hip[0] + ahead, self.hip[1]), foot=self.foot + ahead)
        far.draw(pen, body, phase - FAR_LAG, darker(colour, FAR_SHADE))
