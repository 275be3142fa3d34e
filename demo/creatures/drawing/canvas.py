"""The canvas that pictures are drawn on, larger than they are."""

from __future__ import annotations

import cv2
import numpy as np

from .colours import Rgb

# Pictures are drawn at this many times their size, and made smaller at the end.
SUPERSAMPLED = 2
SIZE = 128
# How soft edges are, in pixels: an autoencoder this small cannot keep sharper ones, and would learn little but them.
SOFTNESS = 0.8


def blank(colour: Rgb = (0, 0, 0), *, scale: int = 1) -> np.ndarray:
    """A canvas of one colour, for a picture of `scale` times the usual size."""
    side = SIZE * SUPERSAMPLED * scale
    return np.full((side, side, 3), np.round(colour), np.uint8)


def density(canvas: np.ndarray) -> float:
    """Pixels of a canvas per unit of a scene, which is a pixel of a picture of the usual size."""
    return len(canvas) / SIZE


def shrink(canvas: np.ndarray) -> np.ndarray:
    """The picture that a canvas holds, as through a soft lens: float32 `h w 3` in [0, 1], or `h w` for a mask."""
    soft = cv2.GaussianBlur(canvas, (0, 0), SOFTNESS * SUPERSAMPLED)
    side = len(canvas) // SUPERSAMPLED
    return cv2.resize(soft, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
