"""Clips in which two shapes cross, and one hides the other for some frames: the limit that the paper itself names.

They are a list of their own, so that no other score changes. crossing_clips.py says what each clip shows.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from . import palette, sdf
from .captions import phrase
from .clips import NUM_FRAMES
from .crossing_clips import SOURCES, Source
from .world import Scene, grid, paint_shape, render

OBJECTS = ("first", "second")
# What an edit changes: the one shape, the other, both, or what is behind them.
KINDS = ("first", "second", "both", "background")
NAMED = ("shape", "colour")
# Shapes whose centres are farther apart than this many radii do not touch, whatever they are.
APART = 1.9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame: the shape behind, with the background, and the shape in front of it.

    Args:
        first, second: the shapes in the order in which the prompt names them, on the same background.
        front: which of `OBJECTS` hides the other where they overlap.
    """

    first: Scene
    second: Scene
    front: str

    @property
    def behind(self) -> str:
        """The one of `OBJECTS` that is hidden where both overlap."""
        return OBJECTS[1 - OBJECTS.index(self.front)]

    @property
    def distance(self) -> float:
        """Between the centres, in pixels."""
        return float(np.hypot(self.first.x - self.second.x, self.first.y - self.second.y))

    @property
    def is_clear(self) -> bool:
        """Whether neither shape hides anything of the other."""
        return self.distance > APART * max(self.first.radius, self.second.radius)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossingEdit:
    """A prompt to render a clip under, and what the result must show.

    Args:
        first, second: shape and colour of each object.
        background: the name of the background.
        kind: what it changes, one of `KINDS`.
    """

    prompt: str
    first: tuple[str, str]
    second: tuple[str, str]
    background: str
    kind: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossingClip:
    """A named clip: its source prompt, the truth of every frame, and its edits."""

    name: str
    prompt: str
    scenes: tuple[Frame, ...]
    edits: tuple[CrossingEdit, ...]

    def frames(self) -> np.ndarray:
        """The rendered clip, float32 `f h w 3` in [0, 1]."""
        return np.stack([render_frame(frame) for frame in self.scenes])

    def path(self, name: str = "first") -> np.ndarray:
        """The true centre of one of `OBJECTS` in every frame, `f 2` (x, y) in pixels, hidden or not."""
        return np.array([(getattr(frame, name).x, getattr(frame, name).y) for frame in self.scenes])


def render_frame(frame: Frame) -> np.ndarray:
    """The picture of a frame, float32 `h w 3` in [0, 1]."""
    painted = paint_shape(render(getattr(frame, frame.behind)), getattr(frame, frame.front))
    return np.ascontiguousarray(painted, dtype=np.float32)


def silhouette(scene: Scene, *, margin: float = 0.0) -> np.ndarray:
    """Where a scene's shape is, hidden or not, `h w` bool.

    Args:
        margin: pixels around it that count too.
    """
    x, y = grid()
    turned = sdf.rotate(x - scene.x, y - scene.y, scene.rotation)
    return sdf.distance(scene.shape, *turned, scene.radius) < margin


def prompt_of(first: tuple[str, str], second: tuple[str, str], background: str) -> str:
    """The prompt of two shapes: "a red circle and a blue square on a gray background"."""
    one, other = (phrase(shape=shape, colour=colour) for shape, colour in (first, second))
    return f"{one} and {other} on a {background} background"


def make_edit(source: Source, kind: str, change: Mapping[str, object]) -> CrossingEdit:
    """The edit that changes some of a clip's words."""
    now = {**source.words, **change}
    return CrossingEdit(prompt=prompt_of(**now), kind=kind, **now)


def scene_at(source: Source, t: float) -> Frame:
    """A clip's frame at a time in [0, 1]."""
    at = source.path(t)
    moved = {name: dataclasses.replace(scene, **at[name]) for name, scene in source.scenes.items()}
    return Frame(**moved, front=source.front)


@functools.cache
def crossing_clips() -> tuple[CrossingClip, ...]:
    """The clips, the same on every call."""
    course, clips = np.linspace(0, 1, NUM_FRAMES), []
    for name, source in SOURCES.items():
        edits = tuple(make_edit(source, kind, change) for kind, change in source.edits)
        scenes = tuple(scene_at(source, float(t)) for t in course)
        clips.append(CrossingClip(name=name, prompt=prompt_of(**source.words), scenes=scenes, edits=edits))
    return tuple(clips)


def edited_frames(clip: CrossingClip, edit: CrossingEdit, seed: int = 0) -> tuple[Frame, ...]:
    """A clip's frames with the edit's changes and nothing else changed. The seed decides the new shades."""
    rng, start = np.random.default_rng(seed), clip.scenes[0]
    behind: dict[str, object] = {}
    if edit.background != start.first.background:
        shade = palette.shade_of(palette.BACKGROUNDS, edit.background, rng)
        second = palette.second_shade(edit.background, shade, rng)
        behind = {"background": edit.background, "background_rgb": shade, "texture_rgb": second}
    changes = {}
    for name in OBJECTS:
        old, (shape, colour) = getattr(start, name), getattr(edit, name)
        shade = old.rgb if colour == old.colour else palette.shade_of(palette.COLOURS, colour, rng)
        changes[name] = {"shape": shape, "colour": colour, "rgb": shade, **behind}
    return tuple(
        dataclasses.replace(
            frame, **{name: dataclasses.replace(getattr(frame, name), **changes[name]) for name in OBJECTS}
        )
        for frame in clip.scenes
    )
