"""Things beside a subject: an apple and a ball on the ground, and a hat on its head."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from .drawing.colours import WHITE, Rgb, darker, hsv, lighter
from .drawing.pen import Pen

# Warm and cool colours that no ground has, and that stand out against each other.
_HUES = (0.0, 0.09, 0.14, 0.55, 0.62, 0.78, 0.92)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ThingLook:
    """What no caption says of a thing.

    Args:
        main, second: the colours of a ball or of a hat.
        skin: the colour of an apple.
        turn: how far a ball has rolled, in radians; a hat and an apple lean by a little of it.
    """

    main: Rgb
    second: Rgb
    skin: Rgb
    turn: float


def random_thing_look(rng: np.random.Generator) -> ThingLook:
    """Random colours; half of the apples are green."""
    main, second = rng.choice(_HUES, 2, replace=False)
    is_red = rng.random() < 0.5
    skin = (rng.uniform(0.97, 1.01), 0.82, rng.uniform(0.82, 0.92)) if is_red else (rng.uniform(0.2, 0.24), 0.72, 0.84)
    return ThingLook(
        main=hsv(main, rng.uniform(0.72, 0.85), rng.uniform(0.86, 0.96)),
        second=WHITE if rng.random() < 0.5 else hsv(second, 0.6, 1.0),
        skin=hsv(*skin),
        turn=rng.uniform(-1, 1),
    )


def draw_apple(pen: Pen, look: ThingLook) -> None:
    """An apple with a leaf, with its origin on the ground under it, one unit high."""
    pen = pen.moved(turn=0.15 * look.turn)
    outline = [(0, 0.7), (0.24, 0.78), (0.47, 0.6), (0.42, 0.24), (0.18, 0.02), (0, 0.05)]
    outline += [(-x, y) for x, y in outline[-2:0:-1]]
    pen.moved(0, -0.04, scale=1.1).blob(outline, darker(look.skin, 0.5))
    pen.blob(outline, look.skin)
    pen.ellipse(-0.22, 0.52, 0.11, 0.15, lighter(look.skin, 0.6), num_points=14)
    pen.limb([(0, 0.66), (0.05, 0.94)], 0.07, 0.06, (92, 62, 42))
    pen.blob([(0.05, 0.8), (0.2, 1.02), (0.5, 1.0), (0.34, 0.8)], hsv(0.33, 0.75, 0.58))


def draw_ball(pen: Pen, look: ThingLook) -> None:
    """A beach ball in two colours, with its origin on the ground under it, one unit high."""
    pen.ellipse(0, 0.5, 0.54, 0.54, darker(look.main, 0.55))
    pen.ellipse(0, 0.5, 0.48, 0.48, look.second)
    pole = (-0.1, 0.62)
    for start in look.turn + np.arange(3) * 2 * math.pi / 3:
        rim = np.linspace(start, start + math.pi / 3, 8)
        pen.polygon(np.concatenate([[pole], np.stack([0.48 * np.cos(rim), 0.5 + 0.48 * np.sin(rim)], 1)]), look.main)
    pen.ellipse(*pole, 0.1, 0.1, WHITE, num_points=12)


def draw_hat(pen: Pen, look: ThingLook) -> None:
    """A pointed party hat, with its origin at the crown of a head and a unit of half the head's width."""
    pen = pen.moved(turn=0.12 * look.turn)
    width, top, bottom = 0.82, 1.75, -0.16

    def band(low: float, high: float) -> list[tuple[float, float]]:
        ends = [(width * (1 - share), bottom + share * (top - bottom)) for share in (low, high)]
        return [(-x, y) for x, y in ends] + ends[::-1]

    pen.moved(0, -0.05, scale=1.12).polygon(band(0, 1), darker(look.main, 0.5))
    pen.polygon(band(0, 1), look.main)
    pen.polygon(band(0.26, 0.52), look.second)
    pen.ellipse(0, top, 0.24, 0.24, look.second)


THINGS: dict[str, Callable[[Pen, ThingLook], None]] = {"apple": draw_apple, "ball": draw_ball, "hat": draw_hat}
