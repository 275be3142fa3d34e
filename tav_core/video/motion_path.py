"""Paths that are drawn: points in fractions of the frame, and where along them each frame is.

Fractions, not pixels: so a path that was drawn on a small picture, or typed for one size, fits every other.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence

import numpy as np

from ..errors import ConfigError

Point = tuple[float, float]
# How far a path may lead out of the frame, in frames: a slip of the comma leads farther.
FARTHEST = 8.0


def resample_path(points: Sequence[Point], num_frames: int) -> np.ndarray:
    """Where an even walk along a path is in each frame, `f 2` (x, y) in the units of the points.

    Points are spread by arc length, so that the speed does not depend on how many of them were drawn where.

    Raises:
        ConfigError: see `check_path`.
    """
    corners = np.asarray(check_path(points), float)
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    gone = np.concatenate([[0.0], np.cumsum(lengths)])
    at = np.linspace(0.0, gone[-1], num_frames)
    return np.stack([np.interp(at, gone, corners[:, axis]) for axis in (0, 1)], axis=1)


def check_path(points: Sequence[Point]) -> list[Point]:
    """The points of a path as pairs of floats.

    A path may lead out of the frame: objects enter and leave it.

    Raises:
        ConfigError: a point is not two finite numbers or is far out of the frame, or there are not two different ones.
    """
    path = [check_point(point) for point in points]
    if len(set(path)) < 2:
        raise ConfigError(
            got="a path of one point" if path else "a path without points",
            expected="two points or more in different places: where the motion begins and where it ends",
            mend="Add the end of the path, as in 0.2,0.5 0.8,0.5.",
        )
    return path


def check_point(point: Sequence[float | str]) -> Point:
    """A point as two floats; `ConfigError` if it is not two finite numbers near the frame."""
    try:
        x, y = (float(value) for value in point)
    except (TypeError, ValueError):
        x = y = math.nan
    if not (abs(x) <= FARTHEST and abs(y) <= FARTHEST):
        raise ConfigError(
            got=f"the point {', '.join(map(str, point)) if isinstance(point, list | tuple) else point!r} of a path",
            expected="x and y in fractions of the frame, 0,0 for the upper left and 1,1 for the lower right corner",
            mend="Divide pixels by the width and the height of the frame.",
        )
    return x, y


def parse_path(text: str) -> list[Point]:
    """The points of a path written as JSON, `[[0.2, 0.5], [0.8, 0.5]]`, or as `0.2,0.5 0.8,0.5`; "" has none.

    Raises:
        ConfigError: it is neither.
    """
    if not text.strip():
        return []
    try:
        if text.lstrip().startswith("["):
            return [check_point(point) for point in json.loads(text)]
        return [check_point(point.split(",")) for point in re.sub(r"\s*,\s*", ",", text).split()]
    except (ValueError, TypeError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            got=f"the path {text[:60]!r}",
            expected="points in fractions of the frame, such as 0.2,0.5 0.8,0.5 or [[0.2, 0.5], [0.8, 0.5]]",
            mend="Write x and y with a comma between them, and a space between two points.",
        ) from error
