"""Looks of each subject: every one keeps to colours of its own, as far as it can."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..drawing.colours import WHITE, Rgb, darker, hsv, lighter, mix
from .subject import Look

PINK: Rgb = (240, 165, 170)
ORANGE: Rgb = (250, 140, 35)
# Hue, saturation and value.
Shade = tuple[float, float, float]


def _near(rng: np.random.Generator, shades: Sequence[Shade]) -> Rgb:
    """A colour near one of some shades."""
    hue, saturation, value = shades[rng.integers(len(shades))]
    return hsv(hue + rng.uniform(-0.015, 0.015), saturation * rng.uniform(0.82, 1.18), value * rng.uniform(0.92, 1.07))


def _look(rng: np.random.Generator, main: Rgb, second: Rgb, accent: Rgb, *, marked: float = 0.5) -> Look:
    """A look of these colours; `marked` is how often it has markings."""
    return Look(main=main, second=second, accent=accent, marked=bool(rng.random() < marked), shape=float(rng.random()))


def rabbit(rng: np.random.Generator) -> Look:
    """White, grey, beige or brown."""
    main = _near(rng, [(0.09, 0.06, 0.93), (0.62, 0.07, 0.62), (0.1, 0.32, 0.86), (0.06, 0.5, 0.58)])
    return _look(rng, main, lighter(main, 0.7), PINK)


def cat(rng: np.random.Generator) -> Look:
    """Orange, grey or cream, with or without stripes."""
    main = _near(rng, [(0.075, 0.75, 0.94), (0.075, 0.75, 0.94), (0.62, 0.1, 0.55), (0.1, 0.3, 0.92)])
    return _look(rng, main, lighter(main, 0.65), darker(main, 0.42), marked=0.6)


def bear(rng: np.random.Generator) -> Look:
    """Brown, nearly black, or polar."""
    main = _near(rng, [(0.06, 0.6, 0.5), (0.06, 0.6, 0.5), (0.05, 0.4, 0.26), (0.12, 0.12, 0.95)])
    return _look(rng, main, mix(main, (228, 192, 148), 0.6), mix(main, PINK, 0.4))


def elephant(rng: np.random.Generator) -> Look:
    """Grey to blue."""
    main = _near(rng, [(0.6, 0.22, 0.68), (0.58, 0.32, 0.72), (0.65, 0.15, 0.6)])
    return _look(rng, main, mix(main, PINK, rng.uniform(0.5, 0.85)), WHITE)


def giraffe(rng: np.random.Generator) -> Look:
    """Yellow with brown patches."""
    main = _near(rng, [(0.12, 0.62, 0.96), (0.105, 0.55, 0.93)])
    return _look(rng, main, hsv(0.06, 0.7, rng.uniform(0.45, 0.62)), lighter(main, 0.5))


def duck(rng: np.random.Generator) -> Look:
    """Yellow or white."""
    main = _near(rng, [(0.145, 0.75, 0.98), (0.12, 0.04, 0.95)])
    return _look(rng, main, darker(main, rng.uniform(0.1, 0.24)), ORANGE)


def bird(rng: np.random.Generator) -> Look:
    """Bright red or blue."""
    main = _near(rng, [(0.99, 0.8, 0.88), (0.59, 0.75, 0.92)])
    return _look(rng, main, darker(main, 0.38), lighter(main, 0.7), marked=0.7)


def fish(rng: np.random.Generator) -> Look:
    """Bright orange, pink or blue, with bands or a light belly."""
    hue, saturation, value = [(0.05, 0.88, 0.98), (0.92, 0.65, 0.96), (0.57, 0.85, 0.9)][rng.integers(3)]
    main, fins = (_near(rng, [(hue + shift, saturation, value)]) for shift in (0.0, 0.06))
    return _look(rng, main, fins, lighter(main, 0.8))


def turtle(rng: np.random.Generator) -> Look:
    """Green, under a darker or browner shell."""
    main = _near(rng, [(0.25, 0.62, 0.82), (0.32, 0.58, 0.75)])
    shell = _near(rng, [(0.38, 0.7, 0.42), (0.09, 0.6, 0.5)])
    return _look(rng, main, shell, mix(shell, (235, 215, 120), 0.6))


def robot(rng: np.random.Generator) -> Look:
    """Silver or teal, with eyes that glow."""
    main = _near(rng, [(0.58, 0.08, 0.78), (0.49, 0.5, 0.7)])
    return _look(rng, main, _near(rng, [(0.02, 0.75, 0.9), (0.12, 0.8, 0.95), (0.6, 0.7, 0.8)]), (255, 225, 90))


def car(rng: np.random.Generator) -> Look:
    """Any bright colour but green, which is the turtle's, and the meadow's."""
    main = hsv(rng.uniform(0.5, 1.18), rng.uniform(0.75, 0.92), rng.uniform(0.8, 0.95))
    return _look(rng, main, lighter(main, 0.65), WHITE)


def balloon(rng: np.random.Generator) -> Look:
    """Stripes of two bright colours."""
    hue = rng.random()
    main = hsv(hue, rng.uniform(0.75, 0.92), rng.uniform(0.8, 0.95))
    other = WHITE if rng.random() < 0.4 else hsv(hue + rng.uniform(0.3, 0.7), 0.75, 0.95)
    return _look(rng, main, other, hsv(0.08, 0.6, rng.uniform(0.5, 0.65)), marked=0.65)
