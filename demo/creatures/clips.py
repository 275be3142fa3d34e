"""The clips that the demo is tested on: eight frames each of a subject that moves while its cycle goes on.

The model saw none of them in training. Each shows things that its prompt does not say (shade, markings, the exact
place), and has edits that change what can be said.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib

import numpy as np

from .captions import phrase
from .clip_sources import SOURCES, Source
from .drawing.canvas import SIZE
from .scene import NO_THING, Scene, centre, render
from .stills import MARGIN, random_scene
from .subjects import SUBJECTS
from .things import random_thing_look

NUM_FRAMES = 8
PARTS = ("subject", "place", "thing", "style")
# The lowest y of what floats.
FLOATS_FROM = 116.0
# Where a thing lies that is on the ground.
THING_X = 112.0


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
    return dataclasses.replace(scene, thing=thing, thing_look=random_thing_look(rng), thing_x=THING_X)


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


def clip_named(name: str) -> Clip:
    """The clip with that name; KeyError if there is none."""
    return {clip.name: clip for clip in all_clips()}[name]
