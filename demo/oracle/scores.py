"""Scores of an edited clip; each one tests another part of the method.

    right            share of frames that show every shape, colour and background that the prompt names
    path             correlation of the object's path with that of the source
    distance         mean distance between the two paths, in pixels
    agreement        1 minus how much the unnamed appearance (shades, the background's texture) varies between frames
    kept             share of what the edit should leave alone (shades, texture, mark, outline, ...) that is still there
    background_kept  the same for the background alone, if the prompt names the same background as the clip's prompt
    flicker          mean absolute second difference in time of the pixels away from the object

An edit counts as right if at least seven frames in eight are. A path is compared if the object is found in as many.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..world.clips import PARTS, Clip, Edit
from .oracle import Reading, read_frames

ENOUGH = 7 / 8
SHADE_TOLERANCE = 0.10
ANGLE_TOLERANCE = 15.0
CONTRAST_FACTOR = 1.8
COHERENT = 0.5
BACKGROUND = ("background", "background_shade", "texture")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores that the module's docstring describes. All are in [0, 1], but path is in [-1, 1], and distance is in
    pixels of a frame of 96.

    distance is nan if the object is not found; background_kept is nan if the prompt does not keep the background.
    """

    right: float
    path: float
    distance: float
    agreement: float
    kept: float
    background_kept: float
    flicker: float

    @property
    def edit_right(self) -> bool:
        return self.right >= ENOUGH


def score(frames: np.ndarray, clip: Clip, edit: Edit) -> Scores:
    """Scores one edited video, `f h w 3` in [0, 1], against its clip and what the edit asked for."""
    readings, source = read_frames(frames), read_source(clip)
    correlation, distance = compare_paths(centres(readings), clip.path())
    pairs = list(zip(readings, source, strict=True))
    kept = {part: [is_kept(part, now, was) for now, was in pairs] for part in edit.keep if part != "path"}
    behind = [kept[part] for part in BACKGROUND if part in kept]
    return Scores(
        right=float(np.mean([is_right(reading, edit) for reading in readings])),
        path=correlation,
        distance=distance,
        agreement=agreement(readings),
        kept=float(np.mean(list(kept.values()))) if kept else 1.0,
        background_kept=float(np.mean(behind)) if behind else math.nan,
        flicker=flicker(frames, readings),
    )


@functools.cache
def read_source(clip: Clip) -> tuple[Reading, ...]:
    """What the oracle reads in the clip itself."""
    return tuple(read_frames(clip.frames()))


def is_right(reading: Reading, edit: Edit) -> bool:
    """Whether a frame shows everything that the prompt names."""
    asked = {part: getattr(edit, part) for part in PARTS}
    return all(word is None or getattr(reading, part) == word for part, word in asked.items())


def copied(readings: Sequence[Reading], source: Sequence[Reading], edit: Edit) -> float:
    """How much of what an edit should change is still as in the source: a share of the changed parts of all frames.

    Lower is better. A part that matches neither the source nor the prompt does not count as copied.
    """
    asked = {part: word for part in PARTS if (word := getattr(edit, part)) is not None}
    was = [
        (part, now, then)
        for part, word in asked.items()
        for now, then in zip(readings, source, strict=True)
        if getattr(then, part) != word
    ]
    return float(np.mean([getattr(now, part) == getattr(then, part) for part, now, then in was])) if was else 0.0


def centres(readings: Sequence[Reading]) -> np.ndarray:
    """The object's centre in every frame, `f 2` in pixels; nan if it was not found."""
    return np.array([(reading.x, reading.y) for reading in readings])


def compare_paths(path: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Correlation over both axes together, and mean distance, of two paths `f 2` in frames where the object was found.

    If it was found in too few frames, the correlation is 0 and the distance nan.
    """
    found = np.isfinite(path).all(axis=1)
    if found.mean() < ENOUGH:
        return 0.0, math.nan
    path, truth = path[found], truth[found]
    ours, theirs = path - path.mean(0), truth - truth.mean(0)
    scale = np.linalg.norm(ours) * np.linalg.norm(theirs)
    correlation = float((ours * theirs).sum() / scale) if scale > 1e-9 else 0.0
    return correlation, float(np.linalg.norm(path - truth, axis=1).mean())


def agreement(readings: Sequence[Reading]) -> float:
    """1 minus the scaled mean deviation of the shades and the background's contrast from the video's own averages.

    A contrast has a fifth of the range of a shade, so it is weighted by 5. Frames where nothing was found count as 0.
    """
    rows = np.array([(*r.shade, *r.background_shade, 5 * r.contrast) for r in readings])
    found = np.isfinite(rows).all(axis=1)
    if found.sum() < 2:
        return 0.0
    rows = rows[found]
    strays = np.abs(rows - rows.mean(0)).mean()
    return float(found.mean() * max(0.0, 1 - 10 * strays))


def is_kept(part: str, now: Reading, was: Reading) -> bool:
    """Whether one part of the source's frame is still there in the edited one."""
    if part in ("shade", "background_shade"):
        return close_shades(getattr(now, part), getattr(was, part))
    if part == "texture":
        return same_texture(now, was)
    return getattr(now, part) == getattr(was, part)


def close_shades(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether the root mean square difference of two rgb shades is within the tolerance; never for nan."""
    return bool(np.sqrt(np.mean((np.array(one) - np.array(other)) ** 2)) <= SHADE_TOLERANCE)


def same_texture(now: Reading, was: Reading) -> bool:
    """Whether the background has about the same contrast, and its stripes the same direction."""
    if not was.contrast / CONTRAST_FACTOR <= now.contrast <= was.contrast * CONTRAST_FACTOR:
        return False
    turned = abs(now.orientation - was.orientation) % 180
    return was.coherence < COHERENT or min(turned, 180 - turned) <= ANGLE_TOLERANCE


def flicker(frames: np.ndarray, readings: Sequence[Reading]) -> float:
    """Mean |I(t+1) - 2 I(t) + I(t-1)| over the pixels that are away from the object in all three frames."""
    near = np.stack([disc(reading, frames.shape[1:3]) for reading in readings])
    away = ~(near[2:] | near[1:-1] | near[:-2])
    second = np.abs(frames[2:] - 2 * frames[1:-1] + frames[:-2]).mean(axis=-1)
    return float(second[away].mean()) if away.any() else float(second.mean())


def disc(reading: Reading, size: tuple[int, int]) -> np.ndarray:
    """A generous disc around the object, `h w` bool; empty if none was found."""
    rows, columns = np.indices(size) + 0.5
    if not math.isfinite(reading.area):
        return np.zeros(size, bool)
    return np.hypot(columns - reading.x, rows - reading.y) < 1.8 * math.sqrt(reading.area / math.pi)


def summarize(all_scores: Sequence[Any]) -> dict[str, float]:
    """Means over edits, and the share of edits that are right. Scores that are nan are left out of the means.

    Args:
        all_scores: the `Scores` of either world.
    """
    names = [field.name for field in dataclasses.fields(all_scores[0])]
    means = {name: mean_of_finite([getattr(s, name) for s in all_scores]) for name in names}
    return {"edits": len(all_scores), "edits_right": float(np.mean([s.edit_right for s in all_scores])), **means}


def mean_of_finite(values: Sequence[float]) -> float:
    """The mean of the finite values; nan if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
