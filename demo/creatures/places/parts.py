"""What all places are made of: views, layers that the camera passes at different speeds, and soft fills.

A place is a stack of layers. Each repeats every `PERIOD` pixels, so that the camera can travel as far as it likes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np

from ..drawing.canvas import SIZE, density
from ..drawing.colours import Rgb, hsv
from ..drawing.pen import Pen

# How far a layer moves in the picture per pixel that the camera moves.
SKY, FAR, MIDDLE, NEAR = 0.06, 0.2, 0.5, 1.0
# Wider than a picture with something hanging over at both sides: what leaves at one side returns unseen at the other.
PERIOD = 256.0
_OVERHANG = 48.0
_TURN = 2 * math.pi
Range = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
    """One large element of a layer, such as a tree or a cloud.

    Args:
        x, y: its place in pixels, x along its layer and y down; what y means is up to the place.
        size: in pixels; of a tall element, its height.
        colour: its main colour.
        lean: in [-1, 1]; which way it leans, or another whim of its shape.
    """

    x: float
    y: float
    size: float
    colour: Rgb
    lean: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """What no caption says of a place: its exact tones, and where its elements are.

    Args:
        ground: the y near which a subject stands, in pixels down.
        horizon: the y of the horizon.
        sky: the colours at the top and at the horizon.
        land: the colour of the ground.
        waves: the phases of the skylines of the far, the middle and the near layer.
        light: the sun, the moon or the planet, which does not move with the camera.
        high, far, middle, near: the elements of the layers, from the sky to the ground at the subject's feet.
    """

    ground: float
    horizon: float
    sky: tuple[Rgb, Rgb]
    land: Rgb
    waves: tuple[float, float, float]
    light: Item
    high: tuple[Item, ...] = ()
    far: tuple[Item, ...] = ()
    middle: tuple[Item, ...] = ()
    near: tuple[Item, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """A kind of scenery.

    Args:
        draw: paints all of a canvas with a view, from a camera that has moved to the right by some pixels.
        random_view: draws everything that is not named.
    """

    draw: Callable[[np.ndarray, View, float], None]
    random_view: Callable[[np.random.Generator], View]


def tone(rng: np.random.Generator, hue: Range, saturation: Range, value: Range) -> Rgb:
    """A random colour with each part in its range."""
    return hsv(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value))


def levels(rng: np.random.Generator) -> dict[str, object]:
    """The fields of a view that every place draws alike."""
    waves = tuple(rng.uniform(0, _TURN, 3).tolist())
    return {"ground": rng.uniform(100, 112), "horizon": rng.uniform(66, 80), "waves": waves}


def in_corner(rng: np.random.Generator, *, y: Range, size: Range, colour: Rgb) -> Item:
    """The sun, a moon or a planet, at the left or at the right of the sky, where no subject hides it."""
    x = rng.choice([rng.uniform(16, 40), rng.uniform(88, 112)])
    lean = float(rng.uniform(-1, 1))
    return Item(x=float(x), y=rng.uniform(*y), size=rng.uniform(*size), colour=colour, lean=lean)


def spread(
    rng: np.random.Generator, count: int, *, y: Range = (0, 0), size: Range, colour: Callable[[], Rgb]
) -> tuple[Item, ...]:
    """Random elements at about equal distances, over one period of a layer."""
    distance, start = PERIOD / count, rng.uniform(0, PERIOD)
    return tuple(
        Item(
            x=start + (number + rng.uniform(-0.2, 0.2)) * distance,
            y=rng.uniform(*y),
            size=rng.uniform(*size),
            colour=colour(),
            lean=float(rng.uniform(-1, 1)),
        )
        for number in range(count)
    )


def in_sight(items: tuple[Item, ...], shift: float) -> Iterator[Item]:
    """The elements of a layer that show when it has moved to the left by `shift`; their x is that of the picture."""
    for item in items:
        x = (item.x - shift + _OVERHANG) % PERIOD - _OVERHANG
        if x < SIZE + _OVERHANG:
            yield dataclasses.replace(item, x=x)


def fade(canvas: np.ndarray, top: float, bottom: float, upper: Rgb, lower: Rgb) -> None:
    """Fills the rows between two heights with a gradient."""
    first, last = (max(round(edge * density(canvas)), 0) for edge in (top, bottom))
    share = np.linspace(0, 1, max(last - first, 1))[:, None, None]
    canvas[first:last] = (np.array(upper) * (1 - share) + np.array(lower) * share)[: len(canvas) - first]


def tint(canvas: np.ndarray, top: float, colour: Rgb, share: float) -> None:
    """Lets a colour come in from `top` downwards; `share` of it at the bottom of the picture."""
    rows = canvas[round(top * density(canvas)) :]
    shares = np.linspace(0, share, len(rows), dtype=np.float32)[:, None, None]
    rows[:] = rows + shares * (np.array(colour, np.float32) - rows)


def glow(canvas: np.ndarray, x: float, y: float, radius: float, colour: Rgb, share: float) -> None:
    """Adds a soft round light that is gone at `radius`; `share` of its colour in the middle."""
    centre, reach = np.array([x, y]) * density(canvas), radius * density(canvas)
    (left, top), (right, bottom) = (np.clip(centre + way * reach, 0, len(canvas)).astype(int) for way in (-1, 1))
    across, down = np.arange(left, right) - centre[0], np.arange(top, bottom) - centre[1]
    distance = np.sqrt(down[:, None] ** 2 + across**2).astype(np.float32) / reach
    shares = (share * np.clip(1 - distance, 0, 1) ** 1.5)[..., None]
    part = canvas[top:bottom, left:right]
    part[:] = part + shares * (np.array(colour, np.float32) - part)


def ridge(canvas: np.ndarray, level: float, swell: float, phase: float, shift: float, colour: Rgb) -> None:
    """A rolling skyline about `level`, up and down by at most `swell`, filled to the bottom of the picture."""
    x = np.linspace(-4, SIZE + 4, 48)
    along = _TURN * (x + shift) / PERIOD
    y = level - swell * (0.65 * np.sin(2 * along + phase) + 0.35 * np.sin(3 * along + 2.3 * phase))
    below = [(SIZE + 4, -SIZE - 4), (-4, -SIZE - 4)]
    Pen(canvas=canvas).polygon(np.concatenate([np.stack([x, -y], 1), below]), colour)


def pen_at(canvas: np.ndarray, item: Item, y: float | None = None) -> Pen:
    """A pen with its origin at an element, or at another height in its column, and with a unit of its size."""
    return Pen(canvas=canvas, x=item.x, y=item.y if y is None else y, unit=item.size)


def draw_sun(canvas: np.ndarray, sun: Item, share: float = 0.5) -> None:
    """A round light in a glow; its size is its radius."""
    glow(canvas, sun.x, sun.y, 3.2 * sun.size, sun.colour, share)
    pen_at(canvas, sun).ellipse(0, 0, 1, 1, sun.colour)


def draw_cloud(canvas: np.ndarray, cloud: Item) -> None:
    """A puffy cloud; its size is half its width."""
    pen = pen_at(canvas, cloud)
    pen.limb([(-0.7, -0.05), (0.7, -0.05)], 0.25, 0.25, cloud.colour)
    for x, y, radius in ((-0.42, 0.12, 0.34), (0.08, 0.28, 0.44), (0.52, 0.1, 0.3)):
        pen.ellipse(x * (1 if cloud.lean > 0 else -1), y, radius * 1.1, radius, cloud.colour)
