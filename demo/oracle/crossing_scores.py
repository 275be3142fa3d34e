"""Scores of an edited clip in which two shapes cross: each shape is read by itself, on its own path.

    right            the mean of the next three
    front            share of frames in which the shape in front is what the prompt says; in overlaps, its colour alone
    behind           share of the frames in which the shapes are apart, in which the other one is what the prompt says
    background       share of those frames that show the background that the prompt says
    colours          share of the frames in which the shapes are apart, in which both have their colours in their places
    order            share of the frames with an overlap in which it has the colour of the shape in front
    distance         mean distance of each shape from its true place, where it was found, in pixels
    kept             share of the shades of shapes and background that the edit leaves alone which are still there
    flicker          mean absolute second difference in time of the pixels away from both shapes

An edit counts as right if front, behind and background are at least 0.75 each. A shape counts only where it should be:
two shapes that have changed places after the crossing are both wrong.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from ..world.crossing import OBJECTS, CrossingClip, CrossingEdit, Frame, silhouette
from ..world.world import Scene, grid
from . import masks
from .oracle import Reading, foreground_of, name_pixels, read_frame, smoothed
from .scores import close_shades, mean_of_finite

ENOUGH = 0.75
# A shape is where it should be if its centre is this near to the true one, in pixels.
NEAR = 8.0
# A shape is read inside so many radii around its centre, its colour in an overlap inside fewer.
AROUND, MIDDLE = 1.7, 0.6
# Pixels that tell a colour; fewer may all be outline.
LEAST = 40
Readings = dict[str, list[Reading]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossingScores:
    """The scores that the module's docstring describes; nan where one does not apply."""

    right: float
    front: float
    behind: float
    background: float
    colours: float
    order: float
    distance: float
    kept: float
    flicker: float

    @property
    def edit_right(self) -> bool:
        """Whether the edit as a whole counts as right."""
        return min(self.front, self.behind, self.background) >= ENOUGH


def score(frames: np.ndarray, clip: CrossingClip, edit: CrossingEdit) -> CrossingScores:
    """Scores one edited video, `f h w 3` in [0, 1], against its clip and what the edit asked for."""
    clear = [truth for truth in clip.scenes if truth.is_clear]
    front, behind = clip.scenes[0].front, clip.scenes[0].behind
    readings = read_objects(frames, clip)
    every = {name: list(zip(readings[name], clear, strict=True)) for name in OBJECTS}
    hits = {name: [is_right(one, truth, name, edit) for one, truth in every[name]] for name in OBJECTS}
    together = [(picture, truth) for picture, truth in zip(frames, clip.scenes, strict=True) if not truth.is_clear]
    on_top = [seen_colour(picture, truth) == getattr(edit, front)[1] for picture, truth in together]
    places = [reading.background == edit.background for reading in readings[front]]
    shares = [float(np.mean(each)) for each in ([*hits[front], *on_top], hits[behind], places)]
    coloured = [[is_coloured(one, truth, name, edit) for one, truth in every[name]] for name in OBJECTS]
    away = [off_place(one, getattr(truth, name)) for name in OBJECTS for one, truth in every[name]]
    order = [hit for hit, (_, truth) in zip(on_top, together, strict=True) if overlap(truth).sum() >= LEAST]
    return CrossingScores(
        right=float(np.mean(shares)),
        front=shares[0],
        behind=shares[1],
        background=shares[2],
        colours=float(np.mean(np.all(coloured, axis=0))),
        order=float(np.mean(order)) if order else math.nan,
        distance=mean_of_finite(away),
        kept=kept(readings, clip, edit),
        flicker=flicker(frames, clip),
    )


def read_object(picture: np.ndarray, truth: Frame, name: str) -> Reading:
    """What the oracle reads of one shape: everything else that is not background is painted over."""
    own, others = getattr(truth, name), [getattr(truth, other) for other in OBJECTS if other != name]
    x, y = grid()
    away = np.hypot(x - own.x, y - own.y)
    elsewhere = (away > AROUND * own.radius) | np.any([np.hypot(x - o.x, y - o.y) < away for o in others], axis=0)
    foreground = masks.dilate(foreground_of(picture), 2)
    alone = np.array(picture)
    if (~foreground).any():
        alone[elsewhere & foreground] = np.median(picture[~foreground], axis=0)
    return read_frame(alone)


def is_right(reading: Reading, truth: Frame, name: str, edit: CrossingEdit) -> bool:
    """Whether a shape is what the prompt says, where it should be."""
    return is_coloured(reading, truth, name, edit) and reading.shape == getattr(edit, name)[0]


def is_coloured(reading: Reading, truth: Frame, name: str, edit: CrossingEdit) -> bool:
    """Whether something of the shape's colour is where the shape should be."""
    return off_place(reading, getattr(truth, name)) <= NEAR and reading.colour == getattr(edit, name)[1]


def off_place(reading: Reading, scene: Scene) -> float:
    """How far a shape is from its true place, in pixels; nan if none was found."""
    return math.hypot(reading.x - scene.x, reading.y - scene.y)


def seen_colour(picture: np.ndarray, truth: Frame) -> str:
    """The colour of most pixels where both shapes are, or, if that is little, in the middle of the one in front."""
    front, (x, y), common = getattr(truth, truth.front), grid(), overlap(truth)
    where = common if common.sum() >= LEAST else np.hypot(x - front.x, y - front.y) < MIDDLE * front.radius
    words, counts = np.unique(name_pixels(smoothed(picture))[where], return_counts=True)
    return str(words[counts.argmax()])


def overlap(truth: Frame) -> np.ndarray:
    """Where both shapes are, without the outline of the one in front, `h w` bool."""
    return silhouette(getattr(truth, truth.front), margin=-2) & silhouette(getattr(truth, truth.behind))


def kept(readings: Readings, clip: CrossingClip, edit: CrossingEdit) -> float:
    """The share of the shades that the edit leaves alone which are within the tolerance of the clip's."""
    source, start, found = read_source(clip), clip.scenes[0], []
    for name in OBJECTS:
        pairs = list(zip(readings[name], source[name], strict=True))
        if getattr(edit, name)[1] == getattr(start, name).colour:
            found += [close_shades(now.shade, then.shade) for now, then in pairs]
        if edit.background == start.first.background:
            found += [close_shades(now.background_shade, then.background_shade) for now, then in pairs]
    return float(np.mean(found)) if found else math.nan


@functools.cache
def read_source(clip: CrossingClip) -> Readings:
    """What the oracle reads of both shapes in the frames of the clip itself in which they are apart."""
    return read_objects(clip.frames(), clip)


def read_objects(frames: np.ndarray, clip: CrossingClip) -> Readings:
    """What the oracle reads of both shapes in the frames in which they are apart."""
    clear = [(picture, truth) for picture, truth in zip(frames, clip.scenes, strict=True) if truth.is_clear]
    return {name: [read_object(picture, truth, name) for picture, truth in clear] for name in OBJECTS}


def flicker(frames: np.ndarray, clip: CrossingClip) -> float:
    """Mean |I(t+1) - 2 I(t) + I(t-1)| over the pixels that are away from both shapes in all three frames."""
    near = np.stack(
        [np.any([silhouette(getattr(truth, name), margin=10) for name in OBJECTS], axis=0) for truth in clip.scenes]
    )
    away = ~(near[2:] | near[1:-1] | near[:-2])
    second = np.abs(frames[2:] - 2 * frames[1:-1] + frames[:-2]).mean(axis=-1)
    return float(second[away].mean()) if away.any() else float(second.mean())
