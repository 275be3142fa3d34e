"""The machines: robot, car and balloon."""

from __future__ import annotations

import math

from ..drawing.colours import INK, WHITE, darker
from ..drawing.pen import Pen
from .gait import FAR_LAG, FAR_SHADE, carried, lift, seen_from, swing
from .parts import box
from .subject import Head, Look

GLASS = (165, 215, 235)


def robot(pen: Pen, look: Look, phase: float) -> Head:
    """A robot that strides on two legs, with glowing eyes and an antenna."""
    body = carried(pen, phase, (0.0, 0.4), rise=0.04, pitch=0.1)
    _leg_of_robot(pen, body, look, phase - FAR_LAG, far=True)
    _arm_of_robot(body, look, phase - FAR_LAG, far=True)
    _leg_of_robot(pen, body, look, phase, far=False)
    body.limb([(0.0, 0.5), (0.01, 0.62)], 0.07, 0.07, darker(look.main, 0.45))
    box(body, 0.0, 0.375, 0.22, 0.16, look.main, corner=0.07)
    box(body, 0.05, 0.385, 0.12, 0.085, look.second, corner=0.04)
    _arm_of_robot(body, look, phase, far=False)
    head = body.moved(0.02, 0.72)
    head.limb([(0.0, 0.1), (-0.02, 0.19)], 0.024, 0.024, darker(look.main, 0.45))
    head.ellipse(-0.02, 0.2, 0.046, 0.046, look.accent)
    box(head, 0.0, 0.0, 0.23, 0.14, look.main, corner=0.07)
    box(head, 0.05, 0.0, 0.165, 0.1, (38, 42, 58), corner=0.06)
    for x in (-0.03, 0.13):
        head.ellipse(x, 0.005, 0.054, 0.06, look.accent)
        head.ellipse(x + 0.012, 0.02, 0.026, 0.03, WHITE)
    return Head(*seen_from(pen, head, (0.0, 0.135)), 0.2)


def _leg_of_robot(pen: Pen, body: Pen, look: Look, phase: float, *, far: bool) -> None:
    """A leg; the near one reaches ahead when the robot is stretched out, the far one back."""
    shade = FAR_SHADE if far else 0.0
    spread = 0.09 * (1 + swing(phase))
    x, y = (-0.04 - spread, 0.05) if far else (0.04 + spread, 0.05)
    y += 0.06 * max(lift(phase), 0)
    pen.limb(
        [seen_from(pen, body, (-0.06 if far else 0.06, 0.26)), (x, y)], 0.055, 0.05, darker(look.main, 0.3 + shade)
    )
    box(pen, x + 0.03, y, 0.1, 0.05, darker(look.second, shade), corner=0.035)


def _arm_of_robot(body: Pen, look: Look, phase: float, *, far: bool) -> None:
    """An arm, raised when the robot is stretched out: the near one behind it, the far one ahead."""
    shade, side = (FAR_SHADE, 1) if far else (0.0, -1)
    angle = -0.45 + 0.9 * swing(phase)
    shoulder = (0.19 * side, 0.49)
    hand = (shoulder[0] + 0.21 * side * math.cos(angle), shoulder[1] + 0.21 * math.sin(angle))
    body.limb([shoulder, hand], 0.06, 0.05, darker(look.main, 0.3 + shade))
    body.ellipse(*hand, 0.07, 0.07, darker(look.second, shade))


def car(pen: Pen, look: Look, phase: float) -> Head:
    """A round little car, which rocks on its wheels."""
    body = carried(pen, phase, (0.0, 0.3), rise=0.055, pitch=0.12)
    body.blob(
        [
            *((-0.78, 0.32), (-0.76, 0.5), (-0.56, 0.58), (0.4, 0.55), (0.72, 0.48)),
            *((0.8, 0.35), (0.74, 0.21), (0.0, 0.18), (-0.72, 0.21)),
        ],
        look.main,
    )
    roof = 0.86 + 0.05 * look.shape
    body.blob([(-0.64, 0.52), (-0.5, 0.8), (-0.3, roof), (0.06, roof), (0.25, 0.8), (0.46, 0.52)], look.main)
    body.blob([(-0.5, 0.55), (-0.42, 0.74), (-0.28, 0.8), (-0.14, 0.8), (-0.13, 0.55)], GLASS)
    body.blob([(-0.02, 0.55), (-0.01, 0.8), (0.08, 0.8), (0.19, 0.74), (0.32, 0.55)], GLASS)
    if look.marked:
        body.limb([(-0.7, 0.34), (0.72, 0.34)], 0.05, 0.05, look.second)
    body.ellipse(0.71, 0.41, 0.075, 0.08, (255, 240, 160))
    body.ellipse(-0.74, 0.43, 0.05, 0.07, (225, 50, 50))
    half_turn = [math.pi * step / 12 for step in range(13)]
    for x in (-0.43, 0.43):
        arch = [(x + 0.25 * math.cos(angle), 0.23 + 0.22 * math.sin(angle)) for angle in half_turn]
        body.polygon(arch, darker(look.main, 0.55))
        _wheel(pen.moved(x, 0.2 + 0.05 * max(lift(phase), 0), turn=-2 * math.pi * phase))
    return Head(*seen_from(pen, body, (-0.11, roof - 0.01)), 0.28)


def _wheel(pen: Pen) -> None:
    """A wheel, whose hub has one dark side that shows how far it has turned."""
    pen.ellipse(0.0, 0.0, 0.2, 0.2, INK)
    pen.ellipse(0.0, 0.0, 0.115, 0.115, (225, 228, 232))
    pen.ellipse(0.05, 0.0, 0.05, 0.05, (120, 124, 134))


def balloon(pen: Pen, look: Look, phase: float) -> Head:
    """A hot air balloon that sways, and its basket after it."""
    body = carried(pen, phase, (0.0, 0.6), rise=0.045, pitch=0.14)
    dangle = 0.05 * swing(phase - 0.15)
    for side in (-1, 1):
        body.limb([(0.13 * side, 0.3), (0.12 * side + dangle, 0.18)], 0.025, 0.025, darker(look.accent, 0.4))
    box(body, dangle, 0.12, 0.14, 0.075, look.accent, corner=0.04)
    box(body, dangle, 0.185, 0.155, 0.028, darker(look.accent, 0.3), corner=0.025)
    right = [(0.12, 0.29), (0.23, 0.38), (0.34, 0.51), (0.385, 0.66), (0.33, 0.82), (0.19, 0.92)]
    outline = [*right, (0.0, 0.95), *((-x, y) for x, y in reversed(right))]
    # Shapes within shapes make five stripes, or three.
    shares = (1.0, 0.78, 0.32) if look.marked else (1.0, 0.5)
    for share, colour in zip(shares, (look.main, look.second, look.main), strict=False):
        body.blob([(share * x, y) for x, y in outline], colour)
    box(body, 0.0, 0.29, 0.13, 0.03, darker(look.main, 0.3), corner=0.02)
    return Head(*seen_from(pen, body, (0.0, 0.94)), 0.17)
