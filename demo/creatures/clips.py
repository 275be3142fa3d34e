"""The clips that the demo is tested on: eight frames each of a subject that moves while its cycle goes on.

The model saw none of them in training. Each shows things that its prompt does not say (shade, markings, the exact
place), and has edits that change what can be said.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable

import numpy as np

from .captions import phrase
from .drawing.canvas import SIZE
from .scene import NO_THING, Scene, centre, render
from .stills import MARGIN, random_scene
from .subjects import SUBJECTS

NUM_FRAMES = 8
PARTS = ("subject", "place", "thing", "style")
# Frames per second that a clip is shown with.
FPS = 8
# The lowest y of what floats.
FLOATS_FROM = 116.0
Path = Callable[[float], dict[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit:
    """A prompt to render a clip under, and what the result must show.

    Args:
        subject, place, thing, style: the names that every frame must show; None if the prompt does not say.
        changed: which of them the prompt changes.
    """

    prompt: str
    subject: str | None
    place: str | None
    thing: str | None
    style: str
    changed: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """A named clip: its source prompt, the truth of every frame, and its edits."""

    name: str
    prompt: str
    scenes: tuple[Scene, ...]
    edits: tuple[Edit, ...]

    def frames(self) -> np.ndarray:
        """The rendered clip, float32 `f h w 3` in [0, 1]."""
        return np.stack([render(scene) for scene in self.scenes])

    def path(self) -> np.ndarray:
        """The centre of the subject's silhouette in every frame, `f 2` (x, y) in pixels."""
        return np.array([centre(scene) for scene in self.scenes])

    def phases(self) -> np.ndarray:
        """The phase of the subject's cycle in every frame, `f` in turns."""
        return np.array([scene.phase for scene in self.scenes])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What a clip is made of.

    Args:
        words: what its prompt says of `PARTS`.
        path: from the time in [0, 1] to a share of the free way along x (-1 to 1), pixels up, and pixels of scroll.
        cycles: of the subject, in the whole clip.
        edits: for each, the words that it changes.
    """

    words: dict[str, str]
    path: Path
    cycles: float
    edits: tuple[dict[str, str], ...]


def across(t: float) -> dict[str, float]:
    """From the left side to the right one, past things that stand still."""
    return {"along": 2 * t - 1, "up": 0.0, "scroll": 0.0}


def followed(t: float) -> dict[str, float]:
    """In the middle, while the camera moves along."""
    return {"along": 0.3 * math.sin(2 * math.pi * t), "up": 0.0, "scroll": 48 * t}


def hops(t: float) -> dict[str, float]:
    """To the right, in two leaps."""
    return {"along": 1.8 * t - 0.9, "up": 15 * abs(math.sin(2 * math.pi * t)), "scroll": 0.0}


def leap(t: float) -> dict[str, float]:
    """One high leap to the right."""
    return {"along": 1.8 * t - 0.9, "up": 22 * math.sin(math.pi * t), "scroll": 12 * t}


def there_and_back(t: float) -> dict[str, float]:
    """To the right, and back."""
    return {"along": -math.cos(2 * math.pi * t), "up": 3 * math.sin(2 * math.pi * t), "scroll": 0.0}


def rise(t: float) -> dict[str, float]:
    """Up, and a little to the right."""
    return {"along": 1.4 * t - 0.7, "up": 20 * t, "scroll": 10 * t}


def dive(t: float) -> dict[str, float]:
    """Down and up again, while the camera moves along."""
    return {"along": 1.6 * t - 0.8, "up": 20 * (1 - math.sin(math.pi * t)), "scroll": 24 * t}


SOURCES = {
    "rabbit": Source(
        words={"subject": "rabbit", "place": "meadow"},
        path=hops,
        cycles=2,
        edits=(
            {"subject": "cat"},
            {"place": "snow"},
            {"style": "sketch"},
            {"thing": "hat"},
            {"subject": "robot", "place": "desert"},
            {"subject": "cat", "place": "snow", "style": "watercolor"},
        ),
    ),
    "bear": Source(
        words={"subject": "bear", "place": "snow"},
        path=across,
        cycles=2,
        edits=(
            {"subject": "elephant"},
            {"place": "beach"},
            {"style": "watercolor"},
            {"subject": "turtle", "place": "desert"},
            {"thing": "hat"},
            {"subject": "cat", "place": "meadow", "style": "sketch"},
        ),
    ),
    "elephant": Source(
        words={"subject": "elephant", "place": "desert"},
        path=followed,
        cycles=2,
        edits=(
            {"subject": "car"},
            {"place": "meadow"},
            {"place": "city"},
            {"style": "pixel art"},
            {"subject": "bear", "place": "snow"},
            {"thing": "ball"},
        ),
    ),
    "giraffe": Source(
        words={"subject": "giraffe", "place": "meadow"},
        path=across,
        cycles=2,
        edits=(
            {"subject": "robot"},
            {"place": "beach"},
            {"place": "space"},
            {"style": "watercolor"},
            {"subject": "rabbit", "style": "pixel art"},
            {"thing": "apple"},
        ),
    ),
    "cat": Source(
        words={"subject": "cat", "place": "beach"},
        path=leap,
        cycles=1,
        edits=(
            {"subject": "rabbit"},
            {"subject": "duck"},
            {"place": "desert"},
            {"style": "sketch"},
            {"thing": "hat"},
            {"subject": "bear", "place": "city"},
        ),
    ),
    "duck": Source(
        words={"subject": "duck", "place": "beach", "thing": "ball"},
        path=there_and_back,
        cycles=2,
        edits=(
            {"subject": "turtle"},
            {"place": "snow"},
            {"thing": "apple"},
            {"style": "pixel art"},
            {"subject": "rabbit", "place": "meadow"},
            {"subject": "cat", "style": "watercolor"},
        ),
    ),
    "fish": Source(
        words={"subject": "fish", "place": "water"},
        path=dive,
        cycles=2,
        edits=(
            {"subject": "turtle"},
            {"subject": "bird"},
            {"place": "space"},
            {"style": "watercolor"},
            {"subject": "bird", "place": "meadow"},
            {"style": "sketch"},
        ),
    ),
    "bird": Source(
        words={"subject": "bird", "place": "city"},
        path=dive,
        cycles=2,
        edits=(
            {"subject": "fish"},
            {"place": "meadow"},
            {"place": "desert"},
            {"style": "pixel art"},
            {"subject": "balloon", "place": "beach"},
            {"style": "watercolor"},
        ),
    ),
    "car": Source(
        words={"subject": "car", "place": "city"},
        path=followed,
        cycles=3,
        edits=(
            {"subject": "elephant"},
            {"place": "desert"},
            {"place": "snow"},
            {"style": "sketch"},
            {"subject": "turtle", "place": "beach"},
            {"subject": "bear", "style": "watercolor"},
        ),
    ),
    "robot": Source(
        words={"subject": "robot", "place": "space"},
        path=across,
        cycles=2,
        edits=(
            {"subject": "rabbit"},
            {"place": "meadow"},
            {"place": "city"},
            {"style": "pixel art"},
            {"thing": "hat"},
            {"subject": "giraffe", "place": "desert"},
        ),
    ),
    "balloon": Source(
        words={"subject": "balloon", "place": "meadow"},
        path=rise,
        cycles=1,
        edits=(
            {"subject": "bird"},
            {"place": "snow"},
            {"place": "water"},
            {"style": "sketch"},
            {"style": "watercolor"},
            {"subject": "fish", "place": "water"},
        ),
    ),
    "turtle": Source(
        words={"subject": "turtle", "place": "water"},
        path=across,
        cycles=2,
        edits=(
            {"subject": "fish"},
            {"subject": "car"},
            {"place": "beach"},
            {"style": "watercolor"},
            {"subject": "rabbit", "place": "meadow"},
            {"thing": "hat"},
        ),
    ),
}


def make_edit(words: dict[str, str], change: dict[str, str]) -> Edit:
    """The edit that changes some words of a clip's prompt."""
    now = {**words, **change}
    asked = {part: now.get(part) for part in ("subject", "place", "thing")}
    return Edit(prompt=phrase(**now), style=now.get("style", "plain"), changed=tuple(change), **asked)


def first_scene(name: str) -> Scene:
    """The scene that a clip moves through: random by the clip's name, the same on every call."""
    words = SOURCES[name].words
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    thing = words.get("thing", NO_THING)
    scene = random_scene(rng, (words["subject"], words["place"]), style="plain", thing=NO_THING)
    if thing == NO_THING:
        return scene
    from .things import random_thing_look

    return dataclasses.replace(scene, thing=thing, thing_look=random_thing_look(rng), thing_x=112.0)


def scene_at(first: Scene, source: Source, t: float) -> Scene:
    """A clip's scene at a time in [0, 1)."""
    at, height = source.path(t), first.height
    left, right = (side * height + MARGIN for side in SUBJECTS[first.subject].reach)
    low, high = left, SIZE - right
    x = (low + high) / 2 + at["along"] * (high - low) / 2
    moved = {"x": x, "scroll": at["scroll"], "phase": source.cycles * t % 1}
    if SUBJECTS[first.subject].floats:
        return dataclasses.replace(first, y=max(FLOATS_FROM - at["up"], height + 4), **moved)
    return dataclasses.replace(first, y=first.view.ground, lifted=at["up"], **moved)


@functools.cache
def all_clips() -> tuple[Clip, ...]:
    """The demo's clips, the same on every call."""
    clips = []
    for name, source in SOURCES.items():
        first, times = first_scene(name), np.arange(NUM_FRAMES) / NUM_FRAMES
        scenes = tuple(scene_at(first, source, float(t)) for t in times)
        edits = tuple(make_edit(source.words, change) for change in source.edits)
        clips.append(Clip(name=name, prompt=phrase(**source.words), scenes=scenes, edits=edits))
    return tuple(clips)
