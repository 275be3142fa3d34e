"""Styles: how a finished scene is put on paper.

A style gets the scenery alone, the picture with everything in it, and a mask of what is drawn on the scenery, so that
it can draw a subject more clearly than what is behind it. What is random (paper, grain, wobbling edges) comes from a
seed alone and stays where it is, so that nothing flickers in a clip.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from .drawing.canvas import SIZE, SUPERSAMPLED
from .drawing.colours import INK, hsv

Style = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]

_PENCIL = np.array((52, 46, 54), np.float32)
_PAPER = np.array((253, 251, 246), np.float32)
_BLOCK = 4 * SUPERSAMPLED
_HUES = (0.0, 0.04, 0.075, 0.11, 0.145, 0.22, 0.3, 0.38, 0.46, 0.52, 0.58, 0.64, 0.71, 0.79, 0.87, 0.94)
# Saturation and value of the shades that pixel art has of each hue, and the values of its greys.
_SHADES = ((0.2, 0.98), (0.5, 0.98), (0.82, 0.95), (0.7, 0.68), (0.4, 0.8), (0.62, 0.46), (0.6, 0.26), (0.25, 0.5))
_GREYS = (0.08, 0.22, 0.4, 0.58, 0.76, 0.97)


def plain(scenery: np.ndarray, picture: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
    """The picture as it is."""
    return picture


def sketch(scenery: np.ndarray, picture: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
    """A pencil drawing on warm paper: a dark outline about the subject, light strokes and tones behind it."""
    inside = _shares(mask)
    near = _shares(cv2.blur(cv2.dilate(mask, _square(9)), (9, 9)))
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 255
    shade = 1 - (0.3 + 0.06 * inside) * (1 - grey)
    strokes = 0.42 * _edges(scenery, 5, 20, 60) * (1 - near) + 0.5 * _edges(picture, 3, 25, 90) * inside
    # Pupils, noses and wheels stay dark.
    filled = 0.9 * np.clip((0.16 - grey) / 0.06, 0, 1) * inside
    outline = 0.92 * _edges(cv2.GaussianBlur(mask, (5, 5), 0), 7, 40, 160)
    dark = np.maximum.reduce([strokes, filled, outline])
    paper = np.array((251, 245, 230), np.float32) - np.random.default_rng(seed).uniform(0, 12)
    return (paper * shade * (1 - dark) + _PENCIL * dark).astype(np.uint8)


def pixel_art(scenery: np.ndarray, picture: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
    """Large square blocks in few colours; each is all subject or all scenery, and a dark rim sets the subject off."""
    side = len(picture) // _BLOCK
    centres = slice(_BLOCK // 2, None, _BLOCK)
    # Only what lies fully inside is sampled, so that no block mixes subject and scenery.
    is_subject = cv2.erode(mask, _square(3))[centres, centres] == 255
    is_rim = cv2.dilate(is_subject.astype(np.uint8), _CROSS).astype(bool) & ~is_subject
    behind = cv2.resize(np.where(mask[..., None] > 0, scenery, picture), (side, side), interpolation=cv2.INTER_AREA)
    blocks = np.where(is_subject[..., None], cv2.blur(picture, (3, 3))[centres, centres], behind)
    blocks = np.where(is_rim[..., None], 0.25 * blocks + 0.75 * np.array(INK), blocks)
    blocks = _PALETTE[_nearest(blocks)].astype(np.uint8)
    return cv2.resize(blocks, None, fx=_BLOCK, fy=_BLOCK, interpolation=cv2.INTER_NEAREST)


def watercolor(scenery: np.ndarray, picture: np.ndarray, mask: np.ndarray, seed: int) -> np.ndarray:
    """Soft washes that are darker at their edges, on paper that stays white along an uneven border."""
    rng = np.random.default_rng(seed)
    small, small_mask = (cv2.resize(each, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for each in (picture, mask))
    layers = np.where(small_mask[..., None] > 127, small, cv2.medianBlur(small, 5))
    rows, columns = np.indices((SIZE, SIZE), dtype=np.float32)
    wobbled = (columns + 1.2 * _noise(rng, 12), rows + 1.2 * _noise(rng, 12))
    wash, inside = (
        cv2.remap(each, *wobbled, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE) for each in (layers, small_mask)
    )
    colour = wash.astype(np.float32) / 255
    grey = colour.mean(-1, keepdims=True)
    strength = 0.76 + 0.1 * _shares(inside) + (0.05 * _noise(rng, 10) + 0.06 * _noise(rng, 4))[..., None]
    pigment = (1 - (grey + 0.85 * (colour - grey))) * strength
    pigment += 0.12 * _edges(wash, 3, 10, 120) + 0.2 * _edges(inside, 3, 60, 255)
    border = (_distance_to_border() + 3.2 * _noise(rng, 14) - 6.5)[..., None]
    pigment = (pigment + 0.12 * np.clip(1 - np.abs(border - 2) / 2.5, 0, 1)) * np.clip(border / 2 + 0.5, 0, 1)
    painted = (np.clip(1 - pigment, 0, 1) * _PAPER).astype(np.uint8)
    return cv2.resize(painted, None, fx=SUPERSAMPLED, fy=SUPERSAMPLED, interpolation=cv2.INTER_LINEAR)


def _shares(mask: np.ndarray) -> np.ndarray:
    """A mask as numbers in [0, 1], `h w 1`."""
    return mask.astype(np.float32)[..., None] / 255


def _square(side: int) -> np.ndarray:
    return np.ones((side, side), np.uint8)


def _edges(canvas: np.ndarray, width: int, low: float, high: float) -> np.ndarray:
    """Strokes where colours meet, `width` pixels thick, `h w 1` in [0, 1]: from contrast `low` to `high`."""
    contrast = cv2.morphologyEx(canvas, cv2.MORPH_GRADIENT, _square(width))
    if contrast.ndim == 3:
        contrast = np.maximum.reduce(cv2.split(contrast))
    return np.clip((contrast.astype(np.float32) - low) / (high - low), 0, 1)[..., None]


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Smooth noise in about [-1, 1], with so many cells across the picture."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def _distance_to_border() -> np.ndarray:
    inward = np.minimum(np.arange(SIZE), np.arange(SIZE)[::-1]).astype(np.float32)
    return np.minimum(inward[:, None], inward)


def _palette() -> np.ndarray:
    """The colours of pixel art, `n 3`."""
    vivid = [hsv(hue, *shade) for hue in _HUES for shade in _SHADES]
    return np.array([*vivid, *(hsv(0, 0, value) for value in _GREYS)], np.float32)


def _nearest(blocks: np.ndarray) -> np.ndarray:
    """The numbers of the palette's colours that are nearest to those of blocks, `h w`."""
    weights = np.array((2, 4, 3), np.float32)
    likeness = (blocks.astype(np.float32) * weights) @ _PALETTE.T - 0.5 * (_PALETTE**2 @ weights)
    return likeness.argmax(-1)


_PALETTE = _palette()
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
STYLES: dict[str, Style] = {"plain": plain, "sketch": sketch, "pixel art": pixel_art, "watercolor": watercolor}
