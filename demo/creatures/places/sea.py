"""The beach, and the world under water."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ..drawing.canvas import SIZE
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

_SEA_HEIGHT = 20.0
_RAYS = 0.2
_CORALS = (hsv(0.97, 0.6, 0.95), hsv(0.04, 0.68, 0.98), hsv(0.85, 0.45, 0.88))


def beach_view(rng: np.random.Generator) -> View:
    """Pale sand before a turquoise sea, with palms and a sail."""
    return View(
        sky=(tone(rng, (0.53, 0.56), (0.36, 0.48), (0.95, 1.0)), tone(rng, (0.1, 0.14), (0.08, 0.14), (1.0, 1.0))),
        land=tone(rng, (0.105, 0.12), (0.28, 0.36), (0.95, 0.99)),
        light=in_corner(rng, y=(13, 22), size=(9, 12), colour=hsv(0.135, 0.6, 1.0)),
        high=spread(rng, 2, y=(16, 34), size=(14, 18), colour=lambda: WHITE),
        far=spread(rng, 1, size=(22, 28), colour=lambda: hsv(rng.choice([0.0, 0.08, 0.9]), 0.7, 0.9)),
        middle=spread(rng, 3, size=(60, 74), colour=lambda: tone(rng, (0.33, 0.4), (0.6, 0.72), (0.5, 0.62))),
        near=spread(rng, 3, y=(3, 14), size=(6.5, 8), colour=lambda: tone(rng, (0.98, 1.05), (0.55, 0.7), (0.9, 0.98))),
        **levels(rng),
    )


def draw_beach(canvas: np.ndarray, view: View, scroll: float) -> None:
    """Paints a day at the sea."""
    shore, sea = view.horizon + _SEA_HEIGHT, hsv(0.5, 0.75, 0.74)
    fade(canvas, 0, view.horizon, *view.sky)
    draw_sun(canvas, view.light)
    for cloud in in_sight(view.high, SKY * scroll):
        draw_cloud(canvas, cloud)
    fade(canvas, view.horizon, shore + 6, hsv(0.53, 0.82, 0.74), lighter(sea, 0.3))
    for boat in in_sight(view.far, FAR * scroll):
        _draw_boat(pen_at(canvas, boat, view.horizon + 5), boat.colour)
    ridge(canvas, shore - 4, 3, view.waves[1], MIDDLE * scroll, (226, 240, 236))
    ridge(canvas, shore, 3, view.waves[1], MIDDLE * scroll, view.land)
    tint(canvas, shore + 4, hsv(0.085, 0.45, 0.84), 0.6)
    for palm in in_sight(view.middle, MIDDLE * scroll):
        _draw_palm(pen_at(canvas, palm, shore + 6), palm.colour, palm.lean)
    for star in in_sight(view.near, NEAR * scroll):
        _draw_starfish(pen_at(canvas, star, view.ground + star.y), star.colour, star.lean)


def _draw_boat(pen: Pen, hull: Rgb) -> None:
    """A sailing boat, one unit high."""
    pen.polygon([(-0.05, 0.22), (-0.05, 1), (-0.5, 0.22)], WHITE)
    pen.polygon([(0.05, 0.22), (0.05, 0.85), (0.4, 0.22)], (255, 214, 150))
    pen.blob([(-0.55, 0.2), (0.55, 0.2), (0.36, -0.04), (-0.36, -0.04)], hull)


def _draw_palm(pen: Pen, leaves: Rgb, lean: float) -> None:
    """A palm that leans to a side, one unit high."""
    side = 1 if lean > 0 else -1
    top = side * (0.08 + 0.12 * abs(lean))
    pen.limb([(0, 0), (0.2 * top, 0.45), (top, 0.8)], 0.06, 0.04, (156, 110, 74))
    crown = pen.moved(top, 0.8)
    for angle, reach, colour in (
        (2.7, 0.34, darker(leaves, 0.22)),
        (0.45, 0.34, darker(leaves, 0.22)),
        (3.5, 0.3, leaves),
        (-0.35, 0.3, leaves),
        (2.05, 0.28, lighter(leaves, 0.12)),
        (1.05, 0.28, lighter(leaves, 0.12)),
    ):
        x, y = reach * math.cos(angle), reach * math.sin(angle)
        crown.limb([(0, 0), (0.6 * x, 0.6 * y + 0.06), (x, y - 0.08)], 0.05, 0.022, colour)
    for x in (-0.045, 0.05):
        crown.ellipse(x, -0.04, 0.045, 0.045, (112, 72, 48), num_points=12)


def _draw_starfish(pen: Pen, colour: Rgb, lean: float) -> None:
    """A starfish with a radius of one unit, lying flat on the sand."""
    angles = lean + np.arange(10) * math.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.5)
    pen.blob(np.stack([radii * np.cos(angles), 0.75 * radii * np.sin(angles)], 1), colour)


def water_view(rng: np.random.Generator) -> View:
    """Deep teal and blue, with tall seaweed, corals, bubbles and rays of light."""
    return View(
        sky=(tone(rng, (0.49, 0.53), (0.5, 0.62), (0.82, 0.92)), tone(rng, (0.55, 0.59), (0.78, 0.88), (0.46, 0.56))),
        land=tone(rng, (0.1, 0.13), (0.26, 0.34), (0.74, 0.82)),
        light=in_corner(rng, y=(0, 0), size=(12, 16), colour=hsv(0.48, 0.12, 1.0)),
        high=spread(rng, 9, y=(10, 84), size=(3, 5), colour=lambda: hsv(0.5, 0.22, 0.98)),
        middle=spread(rng, 7, size=(48, 84), colour=lambda: tone(rng, (0.24, 0.4), (0.6, 0.75), (0.5, 0.66))),
        near=spread(rng, 4, y=(2, 12), size=(17, 23), colour=lambda: _CORALS[rng.integers(len(_CORALS))]),
        **levels(rng),
    )


def draw_water(canvas: np.ndarray, view: View, scroll: float) -> None:
    """Paints the bottom of a clear sea."""
    deep = view.sky[1]
    fade(canvas, 0, SIZE, *view.sky)
    _draw_rays(canvas, view)
    ridge(canvas, view.horizon + 10, 9, view.waves[0], FAR * scroll, darker(mix(deep, view.sky[0], 0.25), 0.08))
    for bubble in in_sight(view.high, FAR * scroll):
        pen = pen_at(canvas, bubble)
        pen.ellipse(0, 0, 1, 1, mix(deep, bubble.colour, 0.55), num_points=18)
        pen.ellipse(-0.25, 0.3, 0.45, 0.4, bubble.colour, num_points=12)
    for weed in in_sight(view.middle, MIDDLE * scroll):
        _draw_seaweed(pen_at(canvas, weed, view.ground), weed.colour, weed.lean)
    ridge(canvas, view.ground - 6, 4, view.waves[2], NEAR * scroll, mix(view.land, deep, 0.12))
    tint(canvas, view.ground - 6, darker(deep, 0.1), 0.5)
    for coral in in_sight(view.near, NEAR * scroll):
        _draw_coral(pen_at(canvas, coral, view.ground + coral.y), coral.colour)


def _draw_rays(canvas: np.ndarray, view: View) -> None:
    """Soft slanting beams from the surface."""
    lit = canvas.copy()
    pen = pen_at(lit, view.light)
    slant = 2.2 if view.light.x > SIZE / 2 else -2.2
    for start, width in ((-2.6, 0.8), (0.0, 1.2), (2.8, 0.7)):
        foot = start * 1.5 - slant
        pen.polygon(
            [(start - width, 0.2), (start + width, 0.2), (foot + 2 * width, -8), (foot - width, -8)], view.light.colour
        )
    cv2.addWeighted(cv2.blur(lit, (9, 9)), _RAYS, canvas, 1 - _RAYS, 0, dst=canvas)


def _draw_seaweed(pen: Pen, colour: Rgb, lean: float) -> None:
    """A tall wavy leaf, one unit high, with a shorter one beside it."""
    for x, height, shade in ((0.13 if lean > 0 else -0.13, 0.68, darker(colour, 0.2)), (0.0, 1.0, colour)):
        along = np.linspace(0, 1, 14)
        middle = x + 0.07 * np.sin(2 * math.pi * (1.1 * along * height + lean)) * (0.3 + along)
        width = 0.062 * np.sqrt(np.clip(1.02 - along, 0, 1))
        left, right = np.stack([middle - width, along * height], 1), np.stack([middle + width, along * height], 1)
        pen.polygon(np.concatenate([left, right[::-1]]), shade)


def _draw_coral(pen: Pen, colour: Rgb) -> None:
    """A coral with a stem and two branches, one unit high, on a stone."""
    pen.limb([(0, 0.06), (0, 0.86)], 0.15, 0.14, colour)
    for x, low, high in ((-0.42, 0.22, 0.6), (0.42, 0.34, 0.74)):
        pen.limb([(0, low), (x, low + 0.04), (x, high)], 0.13, 0.12, colour)
    pen.blob([(-0.5, -0.04), (-0.3, 0.2), (0.28, 0.22), (0.5, -0.04), (0, -0.12)], (96, 104, 126))


BEACH = Place(draw=draw_beach, random_view=beach_view)
WATER = Place(draw=draw_water, random_view=water_view)
