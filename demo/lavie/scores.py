"""Scores of the cascade's three steps, against what a prompt asks for and against rendered truth.

    right        share of frames in which the oracle reads the prompt's subject, place and style
    way          whether the subject went where the prompt says, "still" if nowhere
    agreement    1 minus how much the shades of subject and scenery vary between frames
    flicker      mean absolute second difference in time of the pixels away from the subject
    psnr         decibels between frames and the rendered truth
    path         mean distance of the subject's centre from the true one, in pixels

The oracle learned subjects that face right, so frames of what goes to the left are mirrored before it reads them.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from ..creatures.captions import PLAIN, VERBS, phrase
from ..creatures.drawing.canvas import SIZE
from ..creatures.oracle.reading import Oracle, Reading
from ..creatures.oracle.scores import agreement, first_oracle, flicker
from ..creatures.stills import Combination
from ..creatures.subjects import SUBJECTS
from .moving_scenes import FLOATING_WAYS, SAYINGS, WALKING_WAYS

# Pixels that a subject may sway without going anywhere.
SWAY = 6.0
# The subject's place at the start and at the end is the mean over so many frames.
END_FRAMES = 3


def ways_of(subject: str) -> tuple[str, ...]:
    """Where a subject may go."""
    return FLOATING_WAYS if SUBJECTS[subject].floats else WALKING_WAYS


def prompt_of(pair: Combination, way: str) -> str:
    """The prompt for a subject at a place that goes somewhere."""
    verb = "standing" if way == "still" else VERBS[pair[0]]
    return phrase(subject=pair[0], place=pair[1], verb=verb + SAYINGS[way])


def facing_right(frames: np.ndarray, way: str) -> np.ndarray:
    """Frames as the oracle can read them."""
    return np.ascontiguousarray(frames[:, :, ::-1]) if way == "left" else frames


def way_read(readings: list[Reading]) -> str:
    """Where the subject went, "unknown" if it was not found at both ends."""
    centres = np.array([(reading.x, reading.y) for reading in readings])
    ends = [part[np.isfinite(part).all(axis=1)] for part in (centres[:END_FRAMES], centres[-END_FRAMES:])]
    if not all(len(part) for part in ends):
        return "unknown"
    dx, dy = ends[1].mean(axis=0) - ends[0].mean(axis=0)
    if max(abs(dx), abs(dy)) < SWAY:
        return "still"
    if abs(dx) >= abs(dy):
        return "right" if dx > 0 else "left"
    return "down" if dy > 0 else "up"


def score_video(frames: np.ndarray, pair: Combination, way: str, oracle: Oracle | None = None) -> dict[str, float]:
    """Scores of a video, `f h w 3` in [0, 1], that a prompt of a subject, a place and a way was made with."""
    seen = facing_right(frames, way)
    readings = (oracle or first_oracle()).read(seen)
    right = [(each.subject, each.place, each.style) == (*pair, PLAIN) for each in readings]
    went = way_read(readings)
    went = {"left": "right", "right": "left"}.get(went, went) if way == "left" else went
    return {
        "right": float(np.mean(right)),
        "subject": float(np.mean([each.subject == pair[0] for each in readings])),
        "place": float(np.mean([each.place == pair[1] for each in readings])),
        "way": float(went == way),
        "agreement": agreement(seen, readings),
        "flicker": flicker(seen, readings),
    }


def decibels(frames: np.ndarray, truth: np.ndarray) -> float:
    """The signal-to-noise ratio of frames in [0, 1], the mean over frames."""
    error = ((frames - truth) ** 2).reshape(len(frames), -1).mean(axis=1)
    return float((-10 * np.log10(error.clip(1e-10))).mean())


def path_error(frames: np.ndarray, path: np.ndarray, way: str, oracle: Oracle | None = None) -> float:
    """The mean distance of the subject's centre from its true path, `f 2`, in pixels."""
    readings = (oracle or first_oracle()).read(facing_right(frames, way))
    centres = np.array([(SIZE - each.x if way == "left" else each.x, each.y) for each in readings])
    distances = np.hypot(*(centres - path).T)
    return float(np.nanmean(distances)) if np.isfinite(distances).any() else math.nan


def blend(keys: np.ndarray, factor: int = 4) -> np.ndarray:
    """What interpolation is compared with: each new frame is a mixture of the two keys beside it."""
    parts = []
    for one, other in pairwise(keys):
        parts += [one + (other - one) * (step / factor) for step in range(factor)]
    return np.stack([*parts, keys[-1]])


def mean_scores(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each score, without those that are nan."""
    return {name: round(float(np.nanmean([row[name] for row in rows])), 4) for name in rows[0]} | {"count": len(rows)}
