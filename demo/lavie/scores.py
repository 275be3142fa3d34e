"""Scores of the cascade's three steps, against what a prompt asks for and against rendered truth.

right        share of frames in which the oracle reads the prompt's shape, colour and background
way          whether the shape went where the prompt says, "still" if nowhere
agreement    1 minus how much the shades of shape and background vary between frames
flicker      mean absolute second difference in time of the pixels away from the shape
psnr         decibels between frames and the rendered truth
path         mean distance of the shape's centre from the true one, in pixels
seam         how much more frames change against the truth where two chunks meet than elsewhere
"""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import pairwise

import numpy as np

from ..oracle.oracle import Reading, read_frames
from ..oracle.scores import agreement, flicker
from ..world.captions import phrase
from .moving_scenes import DIRECTIONS, Combination, doing

# Pixels that a shape may sway without going anywhere.
SWAY = 5.0
# The shape's place at the start and at the end is the mean over so many frames.
END_FRAMES = 3


def prompt_of(combination: Combination, way: str) -> str:
    """The prompt for a shape that goes somewhere."""
    shape, colour, background = combination
    return phrase(shape=shape, colour=colour, background=background, doing=doing(way))


def way_read(readings: list[Reading]) -> str:
    """Where the shape went, "unknown" if it was not found at both ends."""
    centres = np.array([(reading.x, reading.y) for reading in readings])
    ends = [part[np.isfinite(part).all(axis=1)] for part in (centres[:END_FRAMES], centres[-END_FRAMES:])]
    if not all(len(part) for part in ends):
        return "unknown"
    dx, dy = ends[1].mean(axis=0) - ends[0].mean(axis=0)
    if max(abs(dx), abs(dy)) < SWAY:
        return "still"
    toward = (int(np.sign(dx)), 0) if abs(dx) >= abs(dy) else (0, int(np.sign(dy)))
    return next(way for way, direction in DIRECTIONS.items() if direction == toward)


def score_video(frames: np.ndarray, combination: Combination, way: str) -> dict[str, float]:
    """Scores of a video, `f h w 3` in [0, 1], that a prompt of a combination and a way was made with."""
    readings = read_frames(frames)
    shown = np.array([(each.shape, each.colour, each.background) for each in readings])
    right = shown == np.array(combination)
    return {
        "right": float(right.all(axis=1).mean()),
        "shape": float(right[:, 0].mean()),
        "colour": float(right[:, 1].mean()),
        "background": float(right[:, 2].mean()),
        "way": float(way_read(readings) == way),
        "agreement": agreement(readings),
        "flicker": flicker(frames, readings),
    }


def decibels(frames: np.ndarray, truth: np.ndarray) -> float:
    """The signal-to-noise ratio of frames in [0, 1], the mean over frames."""
    error = ((frames - truth) ** 2).reshape(len(frames), -1).mean(axis=1)
    return float((-10 * np.log10(error.clip(1e-10))).mean())


def path_error(frames: np.ndarray, path: np.ndarray) -> float:
    """The mean distance of the shape's centre from its true path, `f 2`, in pixels."""
    centres = np.array([(each.x, each.y) for each in read_frames(frames)])
    distances = np.hypot(*(centres - path).T)
    return float(np.nanmean(distances)) if np.isfinite(distances).any() else math.nan


def blend(keys: np.ndarray, factor: int = 4) -> np.ndarray:
    """What interpolation is compared with: each new frame is a mixture of the two keys beside it."""
    parts = []
    for one, other in pairwise(keys):
        parts += [one + (other - one) * (step / factor) for step in range(factor)]
    return np.stack([*parts, keys[-1]])


def seam_ratio(frames: np.ndarray, truth: np.ndarray, borders: Collection[int]) -> float:
    """How much more the error changes from frame to frame at borders than elsewhere, as a factor.

    Args:
        frames, truth: `f h w 3` in [0, 1].
        borders: the frames before which a chunk begins or ends.
    """
    changes = np.abs(np.diff(frames - truth, axis=0)).mean(axis=(1, 2, 3))
    at_border = np.isin(np.arange(1, len(frames)), [*borders])
    return float(changes[at_border].mean() / changes[~at_border].mean())


def mean_scores(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each score, without those that are nan."""
    return {name: round(float(np.nanmean([row[name] for row in rows])), 4) for name in rows[0]} | {"count": len(rows)}
