"""Signed distances of the world's shapes, in pixels: negative inside, zero on the edge.

All shapes with the same `radius` cover about the same area, that of a circle (pi * radius**2), so that the area does
not give the shape away. `reach` is the distance from the centre to the farthest corner, in radii.
"""

import numpy as np

SHAPES = ("circle", "square", "triangle", "star")
REACH = {"circle": 1.0, "square": 1.26, "triangle": 1.45, "star": 1.4}
_HALF_SIDE = 0.886
_STAR_INNER = 0.45


def reach(shape: str) -> float:
    """Distance from the centre to the farthest corner, in radii."""
    return REACH[shape]


def rotate(x: np.ndarray, y: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of (x, y) in a frame turned by `degrees` (y points down, so positive turns clockwise on screen)."""
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * x + sin * y, cos * y - sin * x


def _square(x, y, radius):
    half = _HALF_SIDE * radius
    across, down = np.abs(x) - half, np.abs(y) - half
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    return outside + np.minimum(np.maximum(across, down), 0)


def _triangle(x, y, radius):
    inradius = REACH["triangle"] * radius / 2
    slope = np.sqrt(3) / 2
    return np.maximum(np.maximum(slope * x - y / 2, -slope * x - y / 2), y) - inradius


def _star(x, y, radius):
    outer = REACH["star"] * radius
    inner = _STAR_INNER * outer
    sector = 2 * np.pi / 5
    angle = np.arctan2(x, -y)
    folded = np.abs(np.mod(angle + sector / 2, sector) - sector / 2)
    distance = np.hypot(x, y)
    along, aside = distance * np.cos(folded), distance * np.sin(folded)
    edge_x, edge_y = inner * np.cos(sector / 2) - outer, inner * np.sin(sector / 2)
    return (edge_y * (along - outer) - edge_x * aside) / np.hypot(edge_x, edge_y)


def distance(shape: str, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Signed distance in pixels from (x, y), given relative to the shape's centre, to the edge of `shape`."""
    if shape == "circle":
        return np.hypot(x, y) - radius
    return {"square": _square, "triangle": _triangle, "star": _star}[shape](x, y, radius)


def coverage(signed: np.ndarray) -> np.ndarray:
    """How much of each pixel lies inside, in [0, 1]: an antialiased edge one pixel wide."""
    return np.clip(0.5 - signed, 0.0, 1.0)
