"""The ones that float: bird and fish."""

from __future__ import annotations

import math

from ..drawing.colours import Rgb, darker
from ..drawing.pen import Pen
from .gait import FAR_SHADE, carried, lift, seen_from, swing
from .parts import eye
from .subject import Head, Look


def bird(pen: Pen, look: Look, phase: float) -> Head:
    """A bird in flight: wings up at phase 0, down at phase 0.5."""
    body = carried(pen, phase, (0.0, 0.48))
    _wing(body.moved(0.2, 0.49), phase - 0.03, darker(look.second, FAR_SHADE), spread=1.7)
    body.blob([(-0.24, 0.5), (-0.56, 0.6), (-0.66, 0.52), (-0.62, 0.38), (-0.24, 0.38)], darker(look.main, 0.15))
    body.blob(
        [(-0.36, 0.45), (-0.2, 0.6), (0.1, 0.65), (0.36, 0.58), (0.42, 0.42), (0.24, 0.25), (-0.06, 0.24)], look.main
    )
    if look.marked:
        body.ellipse(0.14, 0.35, 0.22, 0.095, look.accent, turn=0.2)
    head = body.moved(0.34, 0.58)
    head.polygon([(0.14, 0.09), (0.37, -0.02), (0.14, -0.09)], (255, 190, 40))
    head.ellipse(0.0, 0.0, 0.21, 0.195, look.main)
    eye(head, 0.07, 0.035, 0.075)
    _wing(body.moved(0.04, 0.47), phase, look.second, spread=1.3)
    return Head(*seen_from(pen, head, (0.0, 0.18)), 0.17)


def _wing(shoulder: Pen, phase: float, colour: Rgb, *, spread: float) -> None:
    """A wing, which swings by `spread` radians above and below a line that points back; its tip follows after."""
    wing = shoulder.moved(turn=math.pi - spread * swing(phase))
    bend = -0.12 * lift(phase)
    wing.blob(
        [
            *((-0.08, 0.0), (0.02, 0.14), (0.21, 0.17 + 0.4 * bend), (0.37, 0.09 + bend), (0.44, -0.03 + 1.4 * bend)),
            *((0.32, -0.13 + bend), (0.14, -0.15 + 0.3 * bend), (0.0, -0.12)),
        ],
        colour,
    )


def fish(pen: Pen, look: Look, phase: float) -> Head:
    """A fish with a big tail, which is spread at phase 0 and folded at phase 0.5."""
    body = carried(pen, phase, (0.05, 0.48), pitch=0.12)
    _tail_and_fins(body, look, phase)
    body.blob(
        [
            *((0.64, 0.48), (0.5, 0.68), (0.2, 0.81), (-0.14, 0.74), (-0.44, 0.53)),
            *((-0.44, 0.44), (-0.14, 0.23), (0.2, 0.16), (0.5, 0.29)),
        ],
        look.main,
    )
    if look.marked:
        for x, half in ((0.17, 0.29), (-0.2, 0.18)):
            edges = [(-0.06, half), (0.05, half), (0.1, 0.0), (0.05, -half), (-0.06, -half), (-0.02, 0.0)]
            body.blob([(x + across, 0.48 + up) for across, up in edges], look.accent)
    else:
        body.blob([(0.58, 0.4), (0.2, 0.38), (-0.3, 0.43), (-0.12, 0.26), (0.2, 0.2), (0.48, 0.31)], look.accent)
    back = 0.06 * swing(phase)
    body.blob([(0.14, 0.47), (-back, 0.46 - back), (-0.04 - back, 0.31), (0.1, 0.33)], darker(look.second, 0.12))
    body.ellipse(0.56, 0.4, 0.05, 0.03, darker(look.main, 0.5))
    eye(body, 0.4, 0.56, 0.085)
    return Head(*seen_from(pen, body, (0.3, 0.76)), 0.16)


def _tail_and_fins(body: Pen, look: Look, phase: float) -> None:
    """What lies behind a fish's body."""
    spread, flick = 0.25 * (1 + 0.28 * swing(phase)), 0.48 + 0.05 * lift(phase)
    body.blob(
        [
            *((-0.3, 0.5), (-0.56, flick + spread), (-0.72, flick + 1.05 * spread), (-0.6, flick)),
            *((-0.72, flick - 1.05 * spread), (-0.56, flick - spread), (-0.3, 0.46)),
        ],
        look.second,
    )
    top = 0.88 + 0.05 * look.shape
    body.blob([(-0.22, 0.7), (-0.16, top - 0.03), (0.08, top), (0.3, 0.74)], look.second)
    body.blob([(-0.14, 0.26), (-0.2, 0.08), (0.02, 0.1), (0.16, 0.24)], look.second)
