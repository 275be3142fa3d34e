"""Random stills: the scenes that the model is trained on, and the combinations that it never sees."""

import numpy as np

from . import palette, sdf
from .world import SIZE, Scene, Second, combinations

NUM_HELD_OUT = 24
RADIUS = (12.0, 20.5)
SKETCH_SHARE = 0.12
BOTH_FIT = 15.5


def held_out() -> list[tuple[str, str, str]]:
    """The (shape, colour, background) combinations that no training still has; the same on every call."""
    every = combinations()
    chosen = np.random.default_rng(20221222).permutation(len(every))[:NUM_HELD_OUT]
    return [every[i] for i in sorted(chosen)]


def _place(shape: str, radius: float, rng: np.random.Generator) -> tuple[float, float]:
    room = sdf.reach(shape) * radius + 2
    return float(rng.uniform(room, SIZE - room)), float(rng.uniform(room, SIZE - room))


def _texture(background: str, rgb: palette.Rgb, rng: np.random.Generator) -> dict:
    kind = str(rng.choice(["plain", "stripes", "checker", "gradient"], p=[0.25, 0.40, 0.20, 0.15]))
    return {
        "texture": kind,
        "texture_rgb": palette.second_shade(background, rgb, rng),
        "texture_angle": float(rng.uniform(0, 360)),
        "texture_period": float(rng.uniform(24, 36)),
        "texture_phase": float(rng.uniform(0, 1)),
    }


def random_second(colour: str, background: str, main: tuple[str, float, float, float], rng) -> Second | None:
    """A small object of another colour beside `main` (shape, x, y, radius); one in four may overlap it a little."""
    names = [name for name in palette.COLOURS if name != colour and not palette.clashes(name, background)]
    shape, x, y, radius = main
    small = float(rng.uniform(6.0, 8.5))
    nearest = radius * (0.9 if rng.random() < 0.25 else sdf.reach(shape)) + small * 1.3
    for _ in range(20):
        at_x, at_y = _place("square", small, rng)
        if np.hypot(at_x - x, at_y - y) > nearest:
            kind = str(rng.choice(["circle", "square"]))
            shade = palette.shade_of(palette.COLOURS, str(rng.choice(names)), rng)
            return Second(shape=kind, rgb=shade, x=at_x, y=at_y, radius=small)
    return None


def _finish(colour: str, radius: float, rng: np.random.Generator) -> dict:
    """Outline, light and mark of a filled shape, which captions do not name. A small shape has an outline or a mark,
    but not both: too little of its colour would be left to see."""
    contrast = "dark" if colour in ("white", "yellow") else str(rng.choice(["dark", "light"]))
    marked = rng.random() < 0.35
    outline = str(rng.choice(["none", "dark", "light"], p=[0.5, 0.28, 0.22]))
    return {
        "outline": "none" if marked and radius < BOTH_FIT else outline,
        "shading": float(rng.uniform(0.0, 0.12 if colour == "white" else 0.35)),
        "light": float(rng.uniform(0, 360)),
        "mark": contrast if marked else "none",
    }


def _rotation(rng: np.random.Generator) -> float:
    return float(rng.uniform(-15, 15) if rng.random() < 0.6 else rng.uniform(0, 360))


def random_scene(rng: np.random.Generator, combination: tuple[str, str, str] | None = None) -> Scene:
    """A random scene of `combination` (shape, colour, background); by default any combination that is not held out."""
    if combination is None:
        seen = [c for c in combinations() if c not in _HELD_OUT]
        combination = seen[rng.integers(len(seen))]
    shape, colour, background = combination
    sketch = rng.random() < SKETCH_SHARE
    background_rgb = palette.shade_of(palette.BACKGROUNDS, background, rng)
    radius = float(rng.uniform(*RADIUS))
    x, y = _place(shape, radius, rng)
    second = random_second(colour, background, (shape, x, y, radius), rng) if rng.random() < 0.25 else None
    return Scene(
        shape=shape,
        colour=colour,
        rgb=palette.shade_of(palette.COLOURS, colour, rng),
        background=background,
        background_rgb=background_rgb,
        x=x,
        y=y,
        radius=radius,
        rotation=_rotation(rng),
        second=second,
        style="sketch" if sketch else "plain",
        **_texture(background, background_rgb, rng),
        **({} if sketch else _finish(colour, radius, rng)),
    )


_HELD_OUT = frozenset(held_out())
