"""The small ones that walk: rabbit, cat, duck and turtle."""

from __future__ import annotations

from ..drawing.colours import darker, lighter, mix
from ..drawing.pen import Pen
from .gait import FAR_LAG, FAR_SHADE, Leg, carried, lift, seen_from, swing
from .parts import eye
from .subject import Head, Look


def rabbit(pen: Pen, look: Look, phase: float) -> Head:
    """A rabbit that hops: long ears, a round tail, a strong hind leg."""
    body = carried(pen, phase, (-0.06, 0.25), rise=0.06, pitch=0.15)
    stretch = 0.04 * swing(phase)
    fore = Leg(hip=(0.12, 0.24), foot=0.17, stride=0.13, thick=0.07, thin=0.045, step=0.1)
    fore.draw_far(pen, body, phase, look.main, ahead=0.07)
    body.ellipse(-0.36 - stretch, 0.24, 0.09, 0.09, look.second)
    body.blob(
        [
            *((-0.35 - stretch, 0.22), (-0.3 - stretch, 0.38), (-0.12, 0.45), (0.1, 0.43)),
            *((0.24 + stretch, 0.34), (0.2 + stretch, 0.16), (0.02, 0.1), (-0.22 - stretch, 0.09)),
        ],
        look.main,
    )
    fore.draw(pen, body, phase, look.main)
    _hind_leg_of_rabbit(pen, body, look, phase)
    return _head_of_rabbit(pen, body.moved(0.2 + stretch, 0.5), look, phase)


def _hind_leg_of_rabbit(pen: Pen, body: Pen, look: Look, phase: float) -> None:
    """A round haunch, and a long foot that kicks back."""
    shade = darker(look.main, 0.12)
    x, y = -0.14 - 0.17 * swing(phase), 0.045 + 0.1 * max(lift(phase), 0)
    hip = seen_from(pen, body, (-0.2, 0.2))
    pen.limb([hip, (x - 0.05, y + 0.03)], 0.1, 0.05, shade)
    foot = look.second if look.marked else shade
    pen.limb([(x - 0.06, y + 0.02), (x + 0.12, y)], 0.05, 0.045, foot)
    body.ellipse(-0.2, 0.24, 0.15, 0.15, shade)


def _head_of_rabbit(pen: Pen, head: Pen, look: Look, phase: float) -> Head:
    """The head and its ears, which lie back when the rabbit is stretched out."""
    back, length = 0.03 + 0.06 * (1 + swing(phase)), 0.33 + 0.05 * look.shape
    for x, width, shade in ((0.05, 0.05, FAR_SHADE), (-0.05, 0.06, 0.0)):
        tip = (x - back, length)
        head.limb([(x, 0.08), (x - 0.2 * back, 0.6 * length), tip], width, 0.85 * width, darker(look.main, shade))
    head.limb([(-0.05, 0.16), (-0.05 - back, length - 0.01)], 0.032, 0.028, look.accent)
    head.ellipse(0.0, 0.0, 0.17, 0.145, look.main, turn=-0.15)
    head.ellipse(0.1, -0.05, 0.085, 0.07, look.second)
    head.ellipse(0.165, -0.015, 0.03, 0.025, darker(look.accent, 0.15))
    eye(head, 0.05, 0.04, 0.052)
    return Head(*seen_from(pen, head, (0.03, 0.13)), 0.12)


def cat(pen: Pen, look: Look, phase: float) -> Head:
    """A cat: pointed ears, and a long tail that it holds up."""
    body = carried(pen, phase, (-0.08, 0.45))
    fore = Leg(hip=(0.16, 0.42), foot=0.18, stride=0.15, thick=0.1, thin=0.065)
    hind = Leg(hip=(-0.36, 0.42), foot=-0.34, stride=-0.15, thick=0.12, thin=0.065, knee=-0.03)
    fore.draw_far(pen, body, phase, look.main)
    hind.draw_far(pen, body, phase, look.main)
    tip = (-0.58 - 0.1 * swing(phase), 0.79 + 0.06 * look.shape)
    body.limb([(-0.42, 0.5), (-0.63, 0.6), tip], 0.065, 0.06, look.accent if look.marked else look.main)
    body.blob(
        [
            *((-0.52, 0.42), (-0.47, 0.58), (-0.2, 0.61), (0.15, 0.62)),
            *((0.3, 0.52), (0.24, 0.34), (-0.08, 0.31), (-0.4, 0.29)),
        ],
        look.main,
    )
    if look.marked:
        for x in (-0.4, -0.2, 0.0):
            body.limb([(x, 0.57), (x - 0.03, 0.45)], 0.045, 0.025, look.accent)
    else:
        body.ellipse(*tip, 0.06, 0.06, look.second)
    for leg in (hind, fore):
        leg.draw(pen, body, phase, look.main, look.second)
    return _head_of_cat(pen, body.moved(0.36, 0.62), look)


def _head_of_cat(pen: Pen, head: Pen, look: Look) -> Head:
    """The head of a cat, which looks out of the picture a little."""
    for side in (-1, 1):
        head.polygon([(side * 0.03, 0.12), (side * 0.235, 0.02), (side * 0.2, 0.285)], look.main)
        head.polygon([(side * 0.09, 0.13), (side * 0.195, 0.08), (side * 0.18, 0.215)], (240, 160, 165))
    head.ellipse(0.0, 0.0, 0.25, 0.2, look.main)
    if look.marked:
        head.limb([(0.02, 0.18), (0.02, 0.11)], 0.045, 0.03, look.accent)
    head.ellipse(0.05, -0.095, 0.13, 0.085, look.second)
    for x in (-0.075, 0.15):
        eye(head, x, 0.02, 0.075)
    head.polygon([(0.015, -0.05), (0.105, -0.05), (0.06, -0.105)], (220, 95, 115))
    return Head(*seen_from(pen, head, (0.0, 0.18)), 0.19)


def duck(pen: Pen, look: Look, phase: float) -> Head:
    """A duck that runs on orange feet."""
    body = carried(pen, phase, (-0.04, 0.4))
    for far in (True, False):
        _leg_of_duck(pen, body, look, phase - FAR_LAG * far, far=far)
    body.limb([(0.2, 0.42), (0.29, 0.58), (0.27, 0.72)], 0.2, 0.12, look.main)
    body.blob(
        [
            *((-0.6, 0.62 + 0.07 * look.shape), (-0.42, 0.54), (-0.1, 0.55), (0.2, 0.55), (0.4, 0.45)),
            *((0.36, 0.27), (0.12, 0.18), (-0.22, 0.19), (-0.47, 0.34)),
        ],
        look.main,
    )
    up = 0.1 * swing(phase)
    body.blob([(-0.4, 0.42 + up), (-0.15, 0.48 + 0.4 * up), (0.13, 0.45), (0.06, 0.3), (-0.16, 0.27)], look.second)
    head = body.moved(0.29, 0.75)
    head.blob([(0.1, 0.045), (0.24, 0.02), (0.38, 0.0), (0.37, -0.08), (0.22, -0.115), (0.1, -0.11)], look.accent)
    head.ellipse(0.0, 0.0, 0.195, 0.175, look.main)
    eye(head, 0.07, 0.05, 0.065)
    return Head(*seen_from(pen, head, (-0.01, 0.16)), 0.15)


def _leg_of_duck(pen: Pen, body: Pen, look: Look, phase: float, *, far: bool) -> None:
    """A leg; the near one reaches ahead when the duck is stretched out, the far one back."""
    colour = darker(look.accent, FAR_SHADE) if far else look.accent
    spread = 0.1 * (1 + swing(phase))
    x, y = -spread if far else 0.04 + spread, 0.035 + 0.09 * max(lift(phase), 0)
    pen.limb([seen_from(pen, body, (0.0, 0.28)), (x, y)], 0.04, 0.035, colour)
    pen.polygon([(x - 0.05, y + 0.035), (x + 0.05, y + 0.045), (x + 0.17, y - 0.035), (x - 0.06, y - 0.035)], colour)


def turtle(pen: Pen, look: Look, phase: float) -> Head:
    """A turtle under a dome, which stretches its neck out as it goes."""
    body = carried(pen, phase, (-0.08, 0.35), pitch=0.1)
    fore = Leg(hip=(0.26, 0.3), foot=0.32, stride=0.12, thick=0.11, thin=0.08, toe=0.04)
    hind = Leg(hip=(-0.44, 0.3), foot=-0.46, stride=-0.12, thick=0.11, thin=0.08, toe=0.02)
    fore.draw_far(pen, body, phase, look.main)
    hind.draw_far(pen, body, phase, look.main)
    body.polygon([(-0.6, 0.34), (-0.82, 0.24), (-0.56, 0.22)], look.main)
    out = 0.06 * swing(phase)
    body.limb([(0.3, 0.32), (0.48 + out, 0.36), (0.56 + out, 0.52)], 0.12, 0.1, look.main)
    for leg in (hind, fore):
        leg.draw(pen, body, phase, look.main)
    _shell(body, look)
    head = body.moved(0.58 + out, 0.58)
    head.ellipse(0.0, 0.0, 0.19, 0.16, look.main)
    head.ellipse(0.1, -0.05, 0.08, 0.06, lighter(look.main, 0.3))
    eye(head, 0.05, 0.04, 0.07)
    return Head(*seen_from(pen, head, (-0.01, 0.15)), 0.15)


def _shell(body: Pen, look: Look) -> None:
    """A dome with a rim, and a few big scutes."""
    top = 0.88 + 0.06 * look.shape
    body.blob(
        [
            *((-0.66, 0.3), (-0.6, 0.6), (-0.36, top - 0.06), (-0.12, top)),
            *((0.12, top - 0.06), (0.36, 0.6), (0.42, 0.3), (-0.12, 0.26)),
        ],
        look.second,
    )
    light = mix(look.second, look.accent, 0.5)
    if look.marked:
        for x, y in ((-0.38, 0.52), (-0.12, 0.66), (0.14, 0.52)):
            body.ellipse(x, y, 0.1, 0.1, light)
    else:
        body.blob([(-0.36, 0.45), (-0.3, 0.68), (-0.12, 0.76), (0.06, 0.68), (0.12, 0.45), (-0.12, 0.42)], light)
    body.limb([(-0.64, 0.31), (-0.12, 0.26), (0.4, 0.31)], 0.06, 0.06, look.accent)
