"""The city at night, and space."""

from __future__ import annotations

import math

import numpy as np

from ..drawing.canvas import SIZE
from ..drawing.colours import Rgb, darker, hsv, lighter, mix
from ..drawing.pen import Pen
from .parts import (
    FAR,
    MIDDLE,
    NEAR,
    PERIOD,
    SKY,
    Item,
    Place,
    View,
    draw_sun,
    fade,
    glow,
    in_corner,
    in_sight,
    levels,
    pen_at,
    ridge,
    spread,
    tint,
    tone,
)

_WINDOW = (9.0, 9.0)
_WINDOW_DISTANCE = (15.0, 15.0)
_LIT = 0.7
_DASHES = 6


def city_view(rng: np.random.Generator) -> View:
    """Dark blue and violet, with large yellow windows, a moon and a street."""
    return View(
        sky=(tone(rng, (0.63, 0.68), (0.66, 0.78), (0.24, 0.31)), tone(rng, (0.78, 0.86), (0.5, 0.6), (0.58, 0.7))),
        land=tone(rng, (0.67, 0.73), (0.26, 0.34), (0.34, 0.4)),
        light=in_corner(rng, y=(12, 20), size=(8, 11), colour=hsv(0.14, 0.2, 1.0)),
        high=spread(rng, 6, y=(5, 34), size=(3.5, 4.5), colour=lambda: hsv(0.14, 0.15, 1.0)),
        far=spread(rng, 9, y=(24, 46), size=(20, 30), colour=lambda: tone(rng, (0.7, 0.76), (0.5, 0.6), (0.36, 0.42))),
        middle=spread(
            rng, 5, y=(46, 78), size=(0, 1), colour=lambda: tone(rng, (0.6, 0.76), (0.5, 0.66), (0.24, 0.34))
        ),
        **levels(rng),
    )


def draw_city(canvas: np.ndarray, view: View, scroll: float) -> None:
    """Paints a street between lit towers."""
    foot = view.horizon + 14
    fade(canvas, 0, foot, *view.sky)
    for star in in_sight(view.high, SKY * scroll):
        _draw_star(pen_at(canvas, star), star.colour)
    draw_sun(canvas, view.light, 0.4)
    for tower in in_sight(view.far, FAR * scroll):
        pen = Pen(canvas=canvas, x=tower.x, y=foot)
        _draw_box(pen, -tower.size / 2, 0, tower.size, tower.y, tower.colour)
    for tower in in_sight(view.middle, MIDDLE * scroll):
        _draw_tower(Pen(canvas=canvas, x=tower.x, y=foot), tower)
    fade(canvas, foot - 2, view.ground - 6, lighter(view.land, 0.28), lighter(view.land, 0.18))
    fade(canvas, view.ground - 6, SIZE, view.land, darker(view.land, 0.25))
    _draw_dashes(canvas, view.ground + 11, NEAR * scroll)


def _draw_star(pen: Pen, colour: Rgb) -> None:
    """A star with four points, with a radius of one unit."""
    pen.polygon([(0, 1), (0.3, 0.3), (1, 0), (0.3, -0.3), (0, -1), (-0.3, -0.3), (-1, 0), (-0.3, 0.3)], colour)


def _draw_box(pen: Pen, left: float, bottom: float, width: float, height: float, colour: Rgb) -> None:
    right, top = left + width, bottom + height
    pen.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], colour)


def _draw_tower(pen: Pen, tower: Item) -> None:
    """A tower with large windows, two in a row; which of them are lit follows from the tower's own figures."""
    columns = 2
    rows = int(tower.y // _WINDOW_DISTANCE[1])
    width, height = columns * _WINDOW_DISTANCE[0] + 4, rows * _WINDOW_DISTANCE[1] + 4
    _draw_box(pen, -width / 2, 0, width, height, tower.colour)
    _draw_roof(pen.moved(0, height, scale=width / 2), tower.colour, tower.lean)
    lit = np.random.default_rng(int(tower.size * 1e9)).random((rows, columns)) < _LIT
    for row, column in np.ndindex(rows, columns):
        left = -width / 2 + 5 + column * _WINDOW_DISTANCE[0]
        bottom = height - 5 - _WINDOW[1] - row * _WINDOW_DISTANCE[1]
        if lit[row, column]:
            _draw_box(pen, left, bottom, *_WINDOW, hsv(0.13, 0.58, 0.94))


def _draw_roof(pen: Pen, colour: Rgb, lean: float) -> None:
    """A gable, a smaller storey or a flat edge on a tower from -1 to 1."""
    if lean > 0.35:
        pen.polygon([(-1, 0), (0, 0.7), (1, 0)], colour)
    elif lean > -0.35:
        _draw_box(pen, -0.55, 0, 1.1, 0.45, colour)
    else:
        _draw_box(pen, -1.12, -0.05, 2.24, 0.25, lighter(colour, 0.12))


def _draw_dashes(canvas: np.ndarray, y: float, shift: float) -> None:
    """The dashed line in the middle of a street."""
    distance = PERIOD / _DASHES
    for number in range(-1, math.ceil(SIZE / distance) + 1):
        pen = Pen(canvas=canvas, x=number * distance - shift % distance, y=y)
        _draw_box(pen, 0, -4, 22, 4, (176, 168, 166))


def space_view(rng: np.random.Generator) -> View:
    """Nearly black, with a grey moon's craters, few large stars and a ringed planet."""
    planet = tone(rng, (hue := rng.choice([0.06, 0.1, 0.92, 0.48]), hue + 0.02), (0.5, 0.65), (0.9, 0.98))
    return View(
        sky=(tone(rng, (0.68, 0.76), (0.55, 0.7), (0.08, 0.11)), tone(rng, (0.72, 0.8), (0.5, 0.6), (0.28, 0.34))),
        land=tone(rng, (0.6, 0.75), (0.02, 0.06), (0.46, 0.52)),
        light=in_corner(rng, y=(20, 30), size=(15, 19), colour=planet),
        high=spread(rng, 10, y=(5, 60), size=(3.5, 5), colour=lambda: hsv(rng.choice([0.14, 0.55]), 0.15, 1.0)),
        middle=spread(
            rng, 4, y=(18, 22), size=(9, 13), colour=lambda: tone(rng, (0.7, 0.76), (0.05, 0.12), (0.3, 0.36))
        ),
        near=spread(
            rng, 4, y=(3, 14), size=(12, 17), colour=lambda: tone(rng, (0.7, 0.76), (0.05, 0.12), (0.22, 0.28))
        ),
        **levels(rng),
    )


def draw_space(canvas: np.ndarray, view: View, scroll: float) -> None:
    """Paints the surface of a moon."""
    fade(canvas, 0, view.horizon + 10, *view.sky)
    for star in in_sight(view.high, SKY * scroll):
        _draw_star(pen_at(canvas, star), star.colour)
    _draw_planet(canvas, view.light)
    ridge(canvas, view.horizon, 8, view.waves[0], FAR * scroll, mix(view.land, view.sky[1], 0.4))
    ridge(canvas, view.horizon + 12, 4, view.waves[1], MIDDLE * scroll, lighter(view.land, 0.2))
    for crater in in_sight(view.middle, MIDDLE * scroll):
        _draw_crater(pen_at(canvas, crater, view.horizon + crater.y), crater.colour)
    ridge(canvas, view.ground - 8, 4, view.waves[2], NEAR * scroll, view.land)
    tint(canvas, view.ground - 8, darker(view.land, 0.5), 0.4)
    for crater in in_sight(view.near, NEAR * scroll):
        _draw_crater(pen_at(canvas, crater, view.ground + crater.y), crater.colour)


def _draw_planet(canvas: np.ndarray, planet: Item) -> None:
    """A planet with a broad ring about it; its size is its radius."""
    glow(canvas, planet.x, planet.y, 2 * planet.size, planet.colour, 0.3)
    pen = pen_at(canvas, planet).moved(turn=0.35 if planet.lean > 0 else -0.35)
    ring = lighter(mix(planet.colour, (255, 225, 170), 0.6), 0.3)
    _draw_half_ring(pen, 0, ring)
    pen.ellipse(0, 0, 1, 1, planet.colour)
    pen.blob([(-0.94, 0.3), (0.94, 0.3), (0.8, 0.58), (-0.8, 0.58)], lighter(planet.colour, 0.3))
    _draw_half_ring(pen, math.pi, ring)


def _draw_half_ring(pen: Pen, start: float, colour: Rgb) -> None:
    angles = np.linspace(start, start + math.pi, 20)
    outer, inner = (np.stack([x * np.cos(angles), y * np.sin(angles)], 1) for x, y in ((1.75, 0.52), (1.3, 0.3)))
    pen.polygon(np.concatenate([outer, inner[::-1]]), colour)


def _draw_crater(pen: Pen, shade: Rgb) -> None:
    """A flat crater with a lit rim, two units wide."""
    pen.ellipse(0, 0, 1, 0.36, lighter(shade, 0.42))
    pen.ellipse(0, 0.05, 0.8, 0.25, shade)


CITY = Place(draw=draw_city, random_view=city_view)
SPACE = Place(draw=draw_space, random_view=space_view)
