"""What the world's colour words mean: ranges of hue, saturation and value, each wide, and well apart from each other.

"Red" covers many reds. No caption names the exact shade, so a clip can show it, but a prompt cannot say it.
"""

import colorsys

import numpy as np

# hue in degrees, saturation and value in [0, 1]
COLOURS = {
    "red": ((-12, 10), (0.72, 1.0), (0.55, 1.0)),
    "yellow": ((46, 62), (0.65, 1.0), (0.78, 1.0)),
    "green": ((100, 145), (0.60, 1.0), (0.42, 0.9)),
    "blue": ((212, 238), (0.68, 1.0), (0.55, 1.0)),
    "purple": ((276, 304), (0.55, 0.95), (0.45, 0.95)),
    "white": ((0, 360), (0.0, 0.07), (0.94, 1.0)),
}
BACKGROUNDS = {
    "white": ((0, 360), (0.0, 0.06), (0.92, 1.0)),
    "gray": ((0, 360), (0.0, 0.08), (0.38, 0.56)),
    "black": ((0, 360), (0.0, 0.30), (0.03, 0.13)),
    "blue": ((198, 228), (0.35, 0.68), (0.45, 0.95)),
    "green": ((95, 150), (0.28, 0.60), (0.40, 0.85)),
    "pink": ((328, 350), (0.24, 0.42), (0.86, 1.0)),
}
Rgb = tuple[float, float, float]


def clashes(colour: str, background: str) -> bool:
    """True if a shape of `colour` would not stand out from `background`, because both have the same name."""
    return colour == background


def shade_of(ranges: dict, name: str, rng: np.random.Generator) -> Rgb:
    """A random shade that `name` means in `ranges` (COLOURS or BACKGROUNDS), as rgb in [0, 1]."""
    (hue, saturation, value) = (rng.uniform(low, high) for low, high in ranges[name])
    return colorsys.hsv_to_rgb((hue / 360) % 1.0, saturation, value)


def second_shade(background: str, rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """A lighter or darker neighbour of a background's shade, for its texture; `background` still names it."""
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    low, high = {
        "white": (-0.16, -0.10),
        "gray": (-0.16, -0.10),
        "black": (0.10, 0.16),
        "pink": (-0.20, -0.12),
    }.get(background, (-0.22, -0.13))
    return colorsys.hsv_to_rgb(hue, saturation, float(np.clip(value + rng.uniform(low, high), 0, 1)))
