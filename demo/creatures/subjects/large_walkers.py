"""The large ones that walk: bear, elephant and giraffe."""

from __future__ import annotations

from ..drawing.colours import INK, WHITE, darker, lighter
from ..drawing.pen import Pen
from .gait import FAR_SHADE, Leg, carried, seen_from, swing
from .parts import eye
from .subject import Head, Look


def bear(pen: Pen, look: Look, phase: float) -> Head:
    """A bear: all bulk, with small round ears."""
    body = carried(pen, phase, (-0.1, 0.45))
    fore = Leg(hip=(0.14, 0.42), foot=0.17, stride=0.14, thick=0.17, thin=0.11)
    hind = Leg(hip=(-0.42, 0.42), foot=-0.4, stride=-0.14, thick=0.2, thin=0.11)
    fore.draw_far(pen, body, phase, look.main)
    hind.draw_far(pen, body, phase, look.main)
    body.ellipse(-0.62, 0.55, 0.075, 0.075, look.main)
    body.blob(
        [
            *((-0.63, 0.45), (-0.56, 0.68), (-0.3, 0.8), (0.02, 0.82), (0.28, 0.74)),
            *((0.36, 0.5), (0.22, 0.3), (-0.1, 0.25), (-0.48, 0.26)),
        ],
        look.main,
    )
    for leg in (hind, fore):
        leg.draw(pen, body, phase, look.main, darker(look.main, 0.12))
    return _head_of_bear(pen, body.moved(0.33, 0.62), look)


def _head_of_bear(pen: Pen, head: Pen, look: Look) -> Head:
    """A round head with a light muzzle."""
    ear = 0.09 + 0.02 * look.shape
    for x, colour in ((0.13, darker(look.main, FAR_SHADE)), (-0.2, look.main)):
        head.ellipse(x, 0.195, ear, ear, colour)
    head.ellipse(-0.2, 0.195, 0.55 * ear, 0.55 * ear, look.accent)
    head.ellipse(0.0, 0.0, 0.265, 0.24, look.main)
    head.ellipse(0.17, -0.09, 0.155, 0.115, look.second)
    head.ellipse(0.275, -0.035, 0.058, 0.048, INK)
    eye(head, 0.07, 0.07, 0.072)
    return Head(*seen_from(pen, head, (-0.02, 0.22)), 0.2)


def elephant(pen: Pen, look: Look, phase: float) -> Head:
    """An elephant, which throws its trunk up as it stretches out."""
    body = carried(pen, phase, (-0.15, 0.5))
    fore = Leg(hip=(0.1, 0.45), foot=0.1, stride=0.11, thick=0.14, thin=0.11, toe=0.02)
    hind = Leg(hip=(-0.44, 0.45), foot=-0.42, stride=-0.11, thick=0.15, thin=0.11, toe=0.02)
    fore.draw_far(pen, body, phase, look.main)
    hind.draw_far(pen, body, phase, look.main)
    body.limb([(-0.58, 0.66), (-0.66, 0.54), (-0.63 - 0.05 * swing(phase), 0.38)], 0.035, 0.035, darker(look.main, 0.3))
    body.blob(
        [
            *((-0.63, 0.5), (-0.56, 0.76), (-0.28, 0.87), (0.05, 0.85)),
            *((0.26, 0.72), (0.24, 0.36), (-0.1, 0.28), (-0.5, 0.29)),
        ],
        look.main,
    )
    for leg in (hind, fore):
        leg.draw(pen, body, phase, look.main, lighter(look.main, 0.25))
    return _head_of_elephant(pen, body.moved(0.26, 0.66), look, phase)


def _head_of_elephant(pen: Pen, head: Pen, look: Look, phase: float) -> Head:
    """The head with its trunk, a tusk, and a big ear that flaps."""
    up = 0.5 + 0.5 * swing(phase)
    tip = (0.23 + 0.17 * up + 0.3 * up * (1 - up), -0.52 + 0.58 * up**2)
    head.limb([(0.1, -0.02), (0.25 + 0.06 * up, -0.26 + 0.11 * up), tip], 0.15, 0.07, look.main)
    head.ellipse(0.0, 0.0, 0.235, 0.23, look.main)
    head.limb([(0.1, -0.15), (0.18, -0.24), (0.27, -0.24)], 0.042, 0.028, WHITE)
    flap, large = 0.05 * swing(phase), 1.05 + 0.15 * look.shape
    for size, colour in ((large, darker(look.main, 0.16)), (0.66 * large, look.second)):
        head.blob(
            [
                (-0.17 - flap + size * x, 0.0 + size * y)
                for x, y in ((0.17, 0.16), (0.0, 0.25), (-0.19, 0.17), (-0.2, -0.1), (-0.06, -0.26), (0.12, -0.14))
            ],
            colour,
        )
    eye(head, 0.11, 0.06, 0.06)
    return Head(*seen_from(pen, head, (0.02, 0.21)), 0.17)


def giraffe(pen: Pen, look: Look, phase: float) -> Head:
    """A giraffe: long legs, and a long neck that leans ahead as it stretches out."""
    body = carried(pen, phase, (-0.06, 0.45), rise=0.04, pitch=0.1)
    fore = Leg(hip=(0.1, 0.43), foot=0.11, stride=0.12, thick=0.075, thin=0.045, step=0.05)
    hind = Leg(hip=(-0.22, 0.43), foot=-0.22, stride=-0.12, thick=0.085, thin=0.045, step=0.05)
    fore.draw_far(pen, body, phase, look.main, ahead=0.07)
    hind.draw_far(pen, body, phase, look.main, ahead=0.07)
    body.limb([(-0.31, 0.52), (-0.36, 0.42), (-0.36 - 0.03 * swing(phase), 0.32)], 0.025, 0.032, look.second)
    body.blob(
        [(-0.33, 0.46), (-0.28, 0.57), (-0.05, 0.6), (0.16, 0.62), (0.2, 0.47), (0.08, 0.37), (-0.2, 0.36)], look.main
    )
    lean = 0.04 * swing(phase)
    body.limb([(0.09, 0.53), (0.18 + 0.4 * lean, 0.7), (0.22 + lean, 0.845)], 0.095, 0.065, look.main)
    for leg in (hind, fore):
        leg.draw(pen, body, phase, look.main, look.second)
    for x, y, width in ((-0.2, 0.5, 0.07), (-0.05, 0.44, 0.055), (0.05, 0.55, 0.06), (0.14 + 0.3 * lean, 0.66, 0.05)):
        body.ellipse(x, y, width, 0.9 * width, look.second)
    body.ellipse(0.19 + 0.6 * lean, 0.765, 0.04, 0.042, look.second)
    return _head_of_giraffe(pen, body.moved(0.27 + lean, 0.83), look)


def _head_of_giraffe(pen: Pen, head: Pen, look: Look) -> Head:
    """The small head, with two knobs and an ear."""
    for x in (-0.085, 0.005):
        head.limb([(x, 0.03), (x - 0.01, 0.095)], 0.022, 0.032, look.second)
    head.ellipse(-0.14, 0.035, 0.06, 0.035, darker(look.main, 0.15), turn=-0.3)
    head.limb([(-0.03, 0.0), (0.12, -0.05)], 0.088, 0.066, look.main)
    head.ellipse(0.15, -0.058, 0.055, 0.05, look.accent)
    eye(head, 0.0, 0.015, 0.046)
    return Head(*seen_from(pen, head, (-0.04, 0.08)), 0.1)
