"""One still of the world: its description, and how it is drawn.

A caption can name shape, colour, background, size and style (`demo/world/captions.py`). It never names the rest (exact
shades, texture, outline, light, mark, second object, place, rotation): a clip shows it, but a prompt cannot say it.
"""

import dataclasses

import numpy as np

from . import palette, sdf
from .palette import Rgb

SIZE = 96
OUTLINE_WIDTH = 3.0
STROKE_WIDTH = 5.0
TEXTURES = ("plain", "stripes", "checker", "gradient")
_INK = {"dark": (0.06, 0.06, 0.08), "light": (0.97, 0.97, 0.95)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Second:
    """A small second object that no caption names. Place and radius are in pixels."""

    shape: str
    rgb: Rgb
    x: float
    y: float
    radius: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that `render` draws. Pixels, degrees (clockwise on screen), rgb in [0, 1].

    shape, colour, background: names (see sdf.SHAPES, palette.COLOURS, palette.BACKGROUNDS).
    rgb, background_rgb, texture_rgb: the exact shades. texture: one of TEXTURES, with angle, period and phase.
    outline, mark: "none", "dark" or "light". shading in [0, 0.35], lit from direction `light`.
    style: "plain" or "sketch" (a hollow drawing: only the stroke is painted).
    """

    shape: str
    colour: str
    rgb: Rgb
    background: str
    background_rgb: Rgb
    x: float = 48.0
    y: float = 48.0
    radius: float = 15.0
    rotation: float = 0.0
    texture: str = "plain"
    texture_rgb: Rgb = (0.0, 0.0, 0.0)
    texture_angle: float = 0.0
    texture_period: float = 28.0
    texture_phase: float = 0.0
    outline: str = "none"
    shading: float = 0.0
    light: float = 0.0
    mark: str = "none"
    second: Second | None = None
    style: str = "plain"


def grid(size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixels' centres, `h w` float32 each, in pixels of the 96-pixel picture."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) * (SIZE / size)
    return np.meshgrid(centres, centres)


def _blend(canvas: np.ndarray, rgb, alpha: np.ndarray) -> np.ndarray:
    return canvas + alpha[..., None] * (np.asarray(rgb, np.float32) - canvas)


def _waves(along: np.ndarray, period: float) -> np.ndarray:
    """A square wave between -1 and 1 with edges about two pixels wide."""
    return np.clip(np.sin(2 * np.pi * along / period) * period / 6, -1, 1)


def texture_amount(scene: Scene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How much of the texture's second shade each pixel gets, in [0, 1], same shape as `x`."""
    across, down = sdf.rotate(x - SIZE / 2, y - SIZE / 2, scene.texture_angle)
    across = across + scene.texture_phase * scene.texture_period
    if scene.texture == "stripes":
        return 0.5 + 0.5 * _waves(across, scene.texture_period)
    if scene.texture == "checker":
        return 0.5 + 0.5 * _waves(across, scene.texture_period) * _waves(down, scene.texture_period)
    if scene.texture == "gradient":
        return np.clip(0.5 + (across - scene.texture_phase * scene.texture_period) / SIZE, 0, 1)
    return np.zeros_like(x)


def paint_shape(canvas: np.ndarray, scene: Scene) -> np.ndarray:
    """A picture `h w 3` with the shape of a scene painted over it."""
    x, y = grid(len(canvas))
    scale = len(canvas) / SIZE
    local_x, local_y = sdf.rotate(x - scene.x, y - scene.y, scene.rotation)
    signed = sdf.distance(scene.shape, local_x, local_y, scene.radius) * scale
    if scene.style == "sketch":
        stroke = np.abs(signed + STROKE_WIDTH * scale / 2) - STROKE_WIDTH * scale / 2
        return _blend(canvas, scene.rgb, sdf.coverage(stroke))
    toward, _ = sdf.rotate(x - scene.x, y - scene.y, scene.light)
    lit = 1 + scene.shading * np.clip(toward / scene.radius, -1, 1)
    paint = np.clip(np.asarray(scene.rgb, np.float32) * lit[..., None], 0, 1)
    if scene.outline != "none":
        paint = _blend(paint, _INK[scene.outline], sdf.coverage(-signed - OUTLINE_WIDTH * scale))
    canvas = _blend(canvas, paint, sdf.coverage(signed))
    if scene.mark == "none":
        return canvas
    dot = (np.hypot(local_x, local_y) - mark_radius(scene.radius)) * scale
    return _blend(canvas, _INK[scene.mark], sdf.coverage(dot))


def mark_radius(radius: float) -> float:
    """Radius in pixels of the dot that marks a shape of `radius`."""
    return max(4.2, 0.33 * radius)


def _paint_second(canvas: np.ndarray, second: Second, x: np.ndarray, y: np.ndarray, scale: float) -> np.ndarray:
    signed = sdf.distance(second.shape, x - second.x, y - second.y, second.radius) * scale
    return _blend(canvas, second.rgb, sdf.coverage(signed))


def render(scene: Scene, size: int = SIZE) -> np.ndarray:
    """The picture of `scene`: float32, `h w c` of (size, size, 3) in [0, 1], with antialiased edges.

    Places and radii in a scene are always pixels of the 96-pixel picture, whatever `size` is.
    """
    x, y = grid(size)
    canvas = np.broadcast_to(np.asarray(scene.background_rgb, np.float32), (size, size, 3))
    canvas = _blend(canvas, scene.texture_rgb, texture_amount(scene, x, y))
    canvas = paint_shape(canvas, scene)
    if scene.second is not None:
        canvas = _paint_second(canvas, scene.second, x, y, size / SIZE)
    return np.ascontiguousarray(canvas, dtype=np.float32)


def fits(shape: str, x: float, y: float, radius: float, margin: float = 2.0) -> bool:
    """True if a shape at (x, y) stays `margin` pixels away from every side of the picture, however it is turned."""
    room = sdf.reach(shape) * radius + margin
    return room <= min(x, y) and max(x, y) <= SIZE - room


def combinations() -> list[tuple[str, str, str]]:
    """All (shape, colour, background) in which the shape stands out, in a fixed order."""
    return [
        (shape, colour, background)
        for shape in sdf.SHAPES
        for colour in palette.COLOURS
        for background in palette.BACKGROUNDS
        if not palette.clashes(colour, background)
    ]
