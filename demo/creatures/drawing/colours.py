"""Colours as the pen takes them: red, green and blue in [0, 255]."""

from __future__ import annotations

import colorsys

Rgb = tuple[float, float, float]


def hsv(hue: float, saturation: float, value: float) -> Rgb:
    """A colour in [0, 255] from hue (in turns), saturation and value (in [0, 1], clipped)."""
    clipped = (min(max(part, 0.0), 1.0) for part in (saturation, value))
    return tuple(255 * part for part in colorsys.hsv_to_rgb(hue % 1, *clipped))


def mix(one: Rgb, other: Rgb, share: float) -> Rgb:
    """A colour between two; `share` of the other one."""
    return tuple(a + (b - a) * share for a, b in zip(one, other, strict=True))


def darker(colour: Rgb, share: float = 0.25) -> Rgb:
    """A shade of a colour that lies in shadow."""
    return mix(colour, (15, 12, 25), share)


def lighter(colour: Rgb, share: float = 0.35) -> Rgb:
    """A shade of a colour that lies in light."""
    return mix(colour, (255, 255, 255), share)


INK: Rgb = (28, 24, 30)
WHITE: Rgb = (248, 246, 240)
