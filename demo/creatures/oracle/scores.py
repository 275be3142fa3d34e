"""Scores of an edited clip; each one tests another part of the method.

    right            share of frames that show every subject, place, thing and style that the prompt names
    path             correlation of the subject's path with that of the source
    gait             how well the phases of its cycle agree with those of the source: 1 if all do, 0 by chance
    kept             share of what the edit should leave alone that is still there: the words that it does not change,
                     the subject's shade, and the scenery away from the subject
    background_kept  share of the scenery away from the subject that has kept its shade, if place and style stay
    agreement        1 minus how much the shades of subject and scenery vary between frames
    flicker          mean absolute second difference in time of the pixels away from the subject

An edit counts as right if at least seven frames in eight are. A path is compared if the subject is found in as many.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import cv2
import numpy as np

from ...oracle.scores import ENOUGH, compare_paths, mean_of_finite
from ..clips import PARTS, Clip, Edit
from ..scene import NO_THING
from .network import MASK_SIDE
from .reading import Oracle, Reading

SHADE_TOLERANCE = 0.10
# A frame's cells, whose mean shades are compared; as many as a latent has.
CELLS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores that the module's docstring describes; nan where one does not apply. `distance` is in pixels."""

    right: float
    path: float
    distance: float
    gait: float
    kept: float
    background_kept: float
    agreement: float
    flicker: float

    @property
    def edit_right(self) -> bool:
        """Whether the edit as a whole counts as right."""
        return self.right >= ENOUGH


@functools.cache
def first_oracle() -> Oracle:
    """The oracle that scores are made with."""
    return Oracle()


def score(frames: np.ndarray, clip: Clip, edit: Edit, oracle: Oracle | None = None) -> Scores:
    """Scores one edited video, `f h w 3` in [0, 1], against its clip and what the edit asked for."""
    oracle = oracle or first_oracle()
    readings, source = oracle.read(frames), read_source(clip, oracle)
    centres = np.array([(reading.x, reading.y) for reading in readings])
    correlation, distance = compare_paths(centres, clip.path())
    scenery = scenery_kept(frames, clip, readings, source)
    stays = "place" not in edit.changed and "style" not in edit.changed
    return Scores(
        right=float(np.mean([is_right(reading, edit) for reading in readings])),
        path=correlation,
        distance=distance,
        gait=gait_correlation(readings, clip.phases()),
        kept=kept(frames, clip, edit, readings, source, scenery if stays else math.nan),
        background_kept=scenery if stays else math.nan,
        agreement=agreement(frames, readings),
        flicker=flicker(frames, readings),
    )


@functools.cache
def read_source(clip: Clip, oracle: Oracle) -> tuple[Reading, ...]:
    """What the oracle reads in the clip itself."""
    return tuple(oracle.read(clip.frames()))


def is_right(reading: Reading, edit: Edit) -> bool:
    """Whether a frame shows everything that the prompt names."""
    asked = {part: getattr(edit, part) for part in PARTS}
    return all(word is None or getattr(reading, part) == word for part, word in asked.items())


def gait_correlation(readings: Sequence[Reading], phases: np.ndarray) -> float:
    """The mean cosine of the angle between the phases read and the true ones: 1 if they agree, 0 for a gait that stands
    still or that chance decides, -1 for the opposite phase.

    A frame counts by the square of how sure its phase is: on the way up and on the way down, some look alike.
    """
    read, sure = (np.array([getattr(reading, name) for reading in readings]) for name in ("phase", "steadiness"))
    weight = sure**2
    return float((weight * np.cos(2 * math.pi * (read - phases))).sum() / max(weight.sum(), 1e-6))


def cells(frames: np.ndarray) -> np.ndarray:
    """The mean shades of the cells of frames, `f 16 16 3`."""
    return np.stack([cv2.resize(frame, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for frame in frames])


def away(readings: Sequence[Reading]) -> np.ndarray:
    """The cells that the subject does not touch, `f 16 16` bool."""
    masks = np.stack([reading.mask for reading in readings]).astype(np.uint8)
    grown = [cv2.dilate(mask, np.ones((5, 5), np.uint8)) for mask in masks]
    side = MASK_SIDE // CELLS
    return ~np.stack(grown).reshape(len(grown), CELLS, side, CELLS, side).any(axis=(2, 4))


def scenery_kept(frames: np.ndarray, clip: Clip, readings: Sequence[Reading], source: Sequence[Reading]) -> float:
    """The share of cells away from the subject, then and now, whose shade is within the tolerance of the source's."""
    both = away(readings) & away(source)
    close = np.sqrt(((cells(frames) - cells(clip.frames())) ** 2).mean(-1)) <= SHADE_TOLERANCE
    return float(close[both].mean()) if both.any() else math.nan


def shades(frames: np.ndarray, readings: Sequence[Reading]) -> np.ndarray:
    """The mean shade of the subject in each frame, `f 3`; nan where none was found."""
    rows = []
    for frame, reading in zip(frames, readings, strict=True):
        small = cv2.resize(frame, (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA)
        inside = cv2.erode(reading.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        rows.append(small[inside].mean(0) if inside.any() else np.full(3, math.nan))
    return np.array(rows)


def kept(
    frames: np.ndarray,
    clip: Clip,
    edit: Edit,
    readings: Sequence[Reading],
    source: Sequence[Reading],
    scenery: float,
) -> float:
    """The mean of: words that the edit does not change, the subject's shade, the scenery."""
    found = [scenery]
    for part in PARTS:
        truth = getattr(clip.scenes[0], part)
        if part not in edit.changed and not (part == "thing" and truth == NO_THING):
            found.append(float(np.mean([getattr(reading, part) == truth for reading in readings])))
    if "subject" not in edit.changed and "style" not in edit.changed:
        difference = shades(frames, readings) - shades(clip.frames(), source)
        with np.errstate(invalid="ignore"):
            found.append(float((np.sqrt((difference**2).mean(-1)) <= SHADE_TOLERANCE).mean()))
    return mean_of_finite(found)


def agreement(frames: np.ndarray, readings: Sequence[Reading]) -> float:
    """1 minus the scaled mean deviation of the subject's and the scenery's shades from the video's own averages."""
    small, free = cells(frames), away(readings)
    scenery = np.stack(
        [part[where].mean(0) if where.any() else np.full(3, math.nan) for part, where in zip(small, free, strict=True)]
    )
    rows = np.concatenate([shades(frames, readings), scenery], axis=1)
    found = np.isfinite(rows).all(axis=1)
    if found.sum() < 2:
        return 0.0
    strays = np.abs(rows[found] - rows[found].mean(0)).mean()
    return float(found.mean() * max(0.0, 1 - 10 * strays))


def flicker(frames: np.ndarray, readings: Sequence[Reading]) -> float:
    """Mean |I(t+1) - 2 I(t) + I(t-1)| over the pixels that are away from the subject in all three frames."""
    side = frames.shape[1] // CELLS
    free = np.kron(away(readings), np.ones((1, side, side), bool))
    still = free[2:] & free[1:-1] & free[:-2]
    second = np.abs(frames[2:] - 2 * frames[1:-1] + frames[:-2]).mean(axis=-1)
    return float(second[still].mean()) if still.any() else float(second.mean())
