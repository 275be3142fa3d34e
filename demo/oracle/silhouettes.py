"""Which shape a mask has: its silhouette, scaled to a set area, is compared with rendered ones at all angles."""

import functools

import numpy as np

from ..world import sdf
from .masks import blur

_SIDE = 40
_RADIUS = 11.0
_STEP = 4
# An autoencoder rounds small corners off, so each pose has a second template with this blur, in pixels at _RADIUS.
_WEAR = 2.2
_SYMMETRY = {"circle": 4, "square": 90, "triangle": 120, "star": 72}


def _canonical_grid() -> tuple[np.ndarray, np.ndarray]:
    centres = np.arange(_SIDE) + 0.5 - _SIDE / 2
    return np.meshgrid(centres, centres)


@functools.cache
def _templates() -> tuple[list[str], np.ndarray]:
    x, y = _canonical_grid()
    names, pictures = [], []
    for shape in sdf.SHAPES:
        for degrees in range(0, _SYMMETRY[shape], _STEP):
            inside = sdf.coverage(sdf.distance(shape, *sdf.rotate(x, y, degrees), _RADIUS))
            for worn in (inside, blur(inside, _WEAR) > 0.5):
                names.append(shape)
                pictures.append(normalise(worn))
    return names, np.stack([picture.ravel() for picture in pictures])


def normalise(mask: np.ndarray) -> np.ndarray:
    """The mask (soft or hard) moved to the centre of a small grid and scaled to a set area; bilinear, in [0, 1]."""
    mask = mask.astype(np.float64)
    rows, columns = np.indices(mask.shape)
    area = mask.sum()
    row, column = (rows * mask).sum() / area, (columns * mask).sum() / area
    scale = np.sqrt(area / np.pi) / _RADIUS
    x, y = _canonical_grid()
    return _sample(mask, row + y * scale, column + x * scale)


def _sample(picture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    padded = np.pad(picture, 1)
    rows = np.clip(rows + 1, 0, padded.shape[0] - 1.001)
    columns = np.clip(columns + 1, 0, padded.shape[1] - 1.001)
    top, left = rows.astype(int), columns.astype(int)
    down, right = rows - top, columns - left
    upper = padded[top, left] * (1 - right) + padded[top, left + 1] * right
    lower = padded[top + 1, left] * (1 - right) + padded[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def match(mask: np.ndarray) -> tuple[str, float, float]:
    """(best shape, its overlap, the second best shape's overlap); an overlap is intersection over union in [0, 1]."""
    names, templates = _templates()
    silhouette = normalise(mask).ravel()
    common = np.minimum(templates, silhouette).sum(1)
    overlap = common / np.maximum(templates, silhouette).sum(1)
    best = {shape: max(o for n, o in zip(names, overlap, strict=True) if n == shape) for shape in sdf.SHAPES}
    first, second = sorted(best, key=best.get, reverse=True)[:2]
    return first, float(best[first]), float(best[second])
