"""The meadow, the snow and the desert."""

from __future__ import annotations

import numpy as np

from ..drawing.colours import WHITE, Rgb, darker, hsv, lighter, mix
from ..drawing.pen import Pen
from .parts import (
    FAR,
    MIDDLE,
    NEAR,
    SKY,
    Place,
    View,
    draw_cloud,
    draw_sun,
    fade,
    in_corner,
    in_sight,
    levels,
    pen_at,
    ridge,
    spread,
    tint,
    tone,
)

_PETALS = (
    hsv(0.0, 0.02, 1.0),
    hsv(0.93, 0.55, 0.98),
    hsv(0.13, 0.75, 1.0),
    hsv(0.78, 0.4, 0.95),
    hsv(0.01, 0.75, 0.95),
)


def meadow_view(rng: np.random.Generator) -> View:
    """Light blue over fresh green, with round trees and large flowers."""
    grass = tone(rng, (0.24, 0.3), (0.52, 0.66), (0.7, 0.8))
    return View(
        sky=(tone(rng, (0.55, 0.58), (0.5, 0.62), (0.92, 0.97)), tone(rng, (0.53, 0.55), (0.18, 0.26), (0.97, 1.0))),
        land=grass,
        light=in_corner(rng, y=(14, 24), size=(9, 12), colour=hsv(0.135, 0.62, 1.0)),
        high=spread(rng, 3, y=(12, 32), size=(15, 21), colour=lambda: WHITE),
        middle=spread(rng, 4, size=(44, 58), colour=lambda: tone(rng, (0.3, 0.37), (0.55, 0.7), (0.42, 0.54))),
        near=spread(rng, 6, y=(3, 14), size=(4.6, 5.8), colour=lambda: _PETALS[rng.integers(len(_PETALS))]),
        **levels(rng),
    )


def draw_meadow(canvas: np.ndarray, view: View, scroll: float) -> None:
    """Paints a summer's day."""
    grass, hazy = view.land, mix(view.land, view.sky[0], 0.45)
    fade(canvas, 0, view.horizon + 4, *view.sky)
    draw_sun(canvas, view.light)
    for cloud in in_sight(view.high, SKY * scroll):
        draw_cloud(canvas, cloud)
    ridge(canvas, view.horizon - 7, 8, view.waves[0], FAR * scroll, lighter(hazy, 0.15))
    for tree in in_sight(view.middle, MIDDLE * scroll):
        _draw_tree(pen_at(canvas, tree, view.horizon + 14), tree.colour)
    ridge(canvas, view.horizon + 8, 4, view.waves[1], MIDDLE * scroll, lighter(grass, 0.25))
    ridge(canvas, view.ground - 12, 4, view.waves[2], NEAR * scroll, grass)
    tint(canvas, view.ground - 8, darker(hsv(0.33, 0.7, 0.5), 0.1), 0.5)
    for flower in in_sight(view.near, NEAR * scroll):
        _draw_flower(pen_at(canvas, flower, view.ground + flower.y), flower.colour)


def _draw_tree(pen: Pen, leaves: Rgb) -> None:
    """A round tree with its origin at the foot, one unit high."""
    pen.limb([(0, 0), (0, 0.5)], 0.08, 0.06, (124, 84, 56))
    for x, y, radius in ((-0.2, 0.58, 0.22), (0.2, 0.58, 0.22), (0, 0.74, 0.27)):
        pen.ellipse(x, y, radius, radius, leaves)
    pen.ellipse(-0.06, 0.78, 0.15, 0.13, lighter(leaves, 0.22))


def _draw_flower(pen: Pen, petals: Rgb) -> None:
    """A flower seen from the front, with a radius of one unit."""
    for x, y in ((0, 0.55), (0.55, 0.1), (0.34, -0.5), (-0.34, -0.5), (-0.55, 0.1)):
        pen.ellipse(x, y, 0.48, 0.48, petals, num_points=12)
    pen.ellipse(0, 0, 0.38, 0.38, hsv(0.12, 0.85, 0.98) if petals[2] > 100 else WHITE, num_points=12)


def snow_view(rng: np.random.Generator) -> View:
    """White and light blue, with dark firs, high mountains and large flakes."""
    return View(
        sky=(tone(rng, (0.58, 0.64), (0.3, 0.42), (0.74, 0.86)), tone(rng, (0.57, 0.62), (0.1, 0.16), (0.93, 0.98))),
        land=tone(rng, (0.58, 0.63), (0.09, 0.13), (0.93, 0.96)),
        light=in_corner(rng, y=(14, 24), size=(8, 10), colour=hsv(0.14, 0.12, 1.0)),
        high=spread(rng, 12, y=(4, 66), size=(2.4, 3.2), colour=lambda: (255, 255, 255)),
        far=spread(rng, 4, size=(36, 50), colour=lambda: tone(rng, (0.6, 0.64), (0.28, 0.36), (0.7, 0.78))),
        middle=spread(rng, 5, size=(46, 64), colour=lambda: tone(rng, (0.42, 0.48), (0.5, 0.65), (0.34, 0.44))),
        near=spread(rng, 4, y=(4, 14), size=(14, 20), colour=lambda: (252, 253, 255)),
        **levels(rng),
    )


def draw_snow(canvas: np.ndarray, view: View, scroll: float) -> None:
    """Paints a winter's day."""
    fade(canvas, 0, view.horizon + 12, *view.sky)
    draw_sun(canvas, view.light, 0.6)
    for peak in in_sight(view.far, FAR * scroll):
        _draw_peak(pen_at(canvas, peak, view.horizon + 6), peak.colour)
    for fir in in_sight(view.middle, MIDDLE * scroll):
        _draw_fir(pen_at(canvas, fir, view.horizon + 16), fir.colour)
    ridge(canvas, view.horizon + 8, 4, view.waves[1], MIDDLE * scroll, lighter(view.land, 0.5))
    ridge(canvas, view.ground - 8, 4, view.waves[2], NEAR * scroll, view.land)
    tint(canvas, view.horizon + 12, hsv(0.61, 0.34, 0.78), 0.75)
    for drift in in_sight(view.near, NEAR * scroll):
        _draw_drift(pen_at(canvas, drift, view.ground + drift.y), drift.colour)
    for flake in in_sight(view.high, FAR * scroll):
        pen_at(canvas, flake).ellipse(0, 0, 1, 1, flake.colour, num_points=14)


def _draw_peak(pen: Pen, rock: Rgb) -> None:
    """A mountain with a white top, one unit high."""
    pen.polygon([(-0.95, 0), (0, 1), (0.95, 0)], rock)
    pen.polygon([(0, 1), (0.95, 0), (0.25, 0)], darker(rock, 0.12))
    pen.polygon([(-0.4, 0.58), (0, 1), (0.4, 0.58), (0.2, 0.66), (0, 0.52), (-0.2, 0.66)], (250, 252, 255))


def _draw_fir(pen: Pen, needles: Rgb) -> None:
    """A fir with snow on its three tiers, one unit high."""
    pen.limb([(0, 0), (0, 0.3)], 0.06, 0.06, (96, 70, 58))
    for bottom, width, top in ((0.16, 0.34, 0.6), (0.38, 0.27, 0.8), (0.6, 0.2, 1.0)):
        snow = top - bottom
        pen.polygon([(-width, bottom), (0, top), (width, bottom)], needles)
        pen.blob(
            [
                (0, top + 0.01),
                (0.5 * width, bottom + 0.5 * snow),
                (0, bottom + 0.56 * snow),
                (-0.5 * width, bottom + 0.5 * snow),
            ],
            WHITE,
        )


def _draw_drift(pen: Pen, snow: Rgb) -> None:
    """A small heap of snow, two units wide, in the shade at its foot."""
    pen.ellipse(0.06, 0, 1.02, 0.16, hsv(0.61, 0.3, 0.78))
    pen.blob([(-1, 0), (-0.55, 0.26), (-0.05, 0.42), (0.5, 0.24), (1, 0), (0, -0.08)], snow)


def desert_view(rng: np.random.Generator) -> View:
    """An orange evening over dunes, with tall cacti and table mountains."""
    return View(
        sky=(tone(rng, (0.03, 0.07), (0.5, 0.62), (0.92, 0.98)), tone(rng, (0.11, 0.13), (0.36, 0.46), (0.99, 1.0))),
        land=tone(rng, (0.07, 0.085), (0.56, 0.66), (0.9, 0.96)),
        light=in_corner(rng, y=(34, 50), size=(13, 17), colour=hsv(0.14, 0.3, 1.0)),
        far=spread(rng, 3, size=(24, 34), colour=lambda: tone(rng, (0.015, 0.045), (0.5, 0.6), (0.76, 0.84))),
        middle=spread(rng, 4, size=(46, 60), colour=lambda: tone(rng, (0.36, 0.42), (0.5, 0.62), (0.46, 0.56))),
        near=spread(rng, 5, y=(2, 14), size=(6, 9), colour=lambda: tone(rng, (0.03, 0.06), (0.5, 0.6), (0.55, 0.65))),
        **levels(rng),
    )


def draw_desert(canvas: np.ndarray, view: View, scroll: float) -> None:
    """Paints an evening between dunes."""
    fade(canvas, 0, view.horizon + 12, *view.sky)
    draw_sun(canvas, view.light)
    for table in in_sight(view.far, FAR * scroll):
        _draw_table(pen_at(canvas, table, view.horizon + 4), table.colour)
    ridge(canvas, view.horizon + 2, 4, view.waves[0], FAR * scroll, mix(view.land, view.sky[0], 0.5))
    for cactus in in_sight(view.middle, MIDDLE * scroll):
        _draw_cactus(pen_at(canvas, cactus, view.horizon + 18), cactus.colour, 1 if cactus.lean > 0 else -1)
    ridge(canvas, view.horizon + 12, 5, view.waves[1], MIDDLE * scroll, view.land)
    ridge(canvas, view.ground - 8, 6, view.waves[2], NEAR * scroll, darker(view.land, 0.09))
    tint(canvas, view.ground - 8, hsv(0.04, 0.68, 0.7), 0.55)
    for stone in in_sight(view.near, NEAR * scroll):
        pen = pen_at(canvas, stone, view.ground + stone.y)
        pen.blob([(-1, 0), (-0.6, 0.6), (0.2, 0.75), (0.9, 0.3), (1, 0), (0, -0.15)], stone.colour)


def _draw_table(pen: Pen, rock: Rgb) -> None:
    """A table mountain, one unit high."""
    pen.polygon([(-1.1, 0), (-0.75, 0.95), (-0.6, 1), (0.6, 1), (0.75, 0.95), (1.1, 0)], rock)
    pen.polygon([(0.2, 1), (0.6, 1), (0.75, 0.95), (1.1, 0), (0.4, 0)], darker(rock, 0.16))


def _draw_cactus(pen: Pen, green: Rgb, side: int) -> None:
    """A cactus with two arms, one unit high, and a flower on its top."""
    pen.limb([(0, 0), (0, 0.88)], 0.115, 0.105, green)
    for way, low, high in ((side, 0.36, 0.66), (-side, 0.5, 0.78)):
        pen.limb([(0, low), (way * 0.26, low)], 0.075, 0.075, green)
        pen.limb([(way * 0.26, low), (way * 0.26, high)], 0.075, 0.07, green)
    pen.limb([(-0.03, 0.12), (-0.03, 0.84)], 0.035, 0.035, lighter(green, 0.25))
    pen.ellipse(0, 0.98, 0.09, 0.06, hsv(0.94, 0.6, 0.98), num_points=14)


MEADOW = Place(draw=draw_meadow, random_view=meadow_view)
SNOW = Place(draw=draw_snow, random_view=snow_view)
DESERT = Place(draw=draw_desert, random_view=desert_view)
