"""Random moving scenes: a subject that goes somewhere while its cycle goes on, for what many clips can teach.

A scene is a function of time in [0, 1], so that it can be rendered at any rate.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .captions import VERBS, phrase
from .drawing.canvas import SIZE
from .scene import NO_THING, Scene, draw, draw_scenery
from .stills import LEAP, MARGIN, Combination, random_scene
from .subjects import SUBJECTS

# What prompts say of a direction. The text model spells the words that it does not know, letter by letter.
SAYINGS = {"left": " to the left", "right": " to the right", "up": " up", "down": " down", "still": ""}
FLOATING_WAYS, WALKING_WAYS = ("left", "right", "up", "down"), ("left", "right", "still")
WALKING_SHARE = (0.4, 0.4, 0.2)
JUMPERS = ("rabbit", "cat", "bear", "duck", "robot")
JUMP_SHARE, CAMERA_SHARE = 0.3, 0.35
STYLE_SHARE = {"plain": 0.7, "sketch": 0.1, "pixel art": 0.1, "watercolor": 0.1}
# The largest y that the lowest point of what floats can have.
LOWEST = 116.0
# Pixels that a subject goes in one cycle, and that the camera goes in a scene.
STRIDE, CAMERA = (18.0, 26.0), (8.0, 32.0)
Place = tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingScene:
    """A scene in time.

    Args:
        first: the scene at time 0, in which the subject faces right.
        way: where the subject goes, a name of `SAYINGS`; to the left, the whole picture is mirrored.
        verb: what it does, "running" or "standing".
        dx, dy: how far it goes until time 1, in pixels of `first`.
        camera: how far the camera goes meanwhile, in pixels.
        cycles: how many of its cycles it goes through.
        hops, leap: how many leaps it takes, and how high each is, in pixels.
    """

    first: Scene
    way: str
    verb: str
    dx: float = 0.0
    dy: float = 0.0
    camera: float = 0.0
    cycles: float = 0.0
    hops: int = 0
    leap: float = 0.0

    def at(self, time: float) -> Scene:
        """The scene at a time in [0, 1], before mirroring."""
        first = self.first
        return dataclasses.replace(
            first,
            x=first.x + self.dx * time,
            y=first.y + self.dy * time,
            lifted=self.leap * abs(math.sin(math.pi * self.hops * time)),
            phase=(first.phase + self.cycles * time) % 1,
            scroll=first.scroll + self.camera * time,
        )

    def frames(self, times: Sequence[float] | np.ndarray) -> np.ndarray:
        """Rendered frames at these times, float32 `f h w 3` in [0, 1]."""
        scenery = None if self.camera else draw_scenery(self.first)
        pictures = np.stack([draw(self.at(float(time)), scenery=scenery).picture for time in times])
        return pictures[:, :, ::-1] if self.way == "left" else pictures

    @property
    def prompt(self) -> str:
        """What is seen, "a rabbit is running to the right on the meadow"."""
        verb = f"{self.verb}{SAYINGS[self.way]}"
        return phrase(subject=self.first.subject, place=self.first.place, style=self.first.style, verb=verb)


def random_moving_scene(
    rng: np.random.Generator, combination: Combination | None = None, *, way: str | None = None
) -> MovingScene:
    """A random moving scene.

    Args:
        combination: subject and place; by default, a pair that is not held out.
        way: where the subject goes; random by default.
    """
    style = str(rng.choice([*STYLE_SHARE], p=[*STYLE_SHARE.values()]))
    scene = random_scene(rng, combination, style=style, thing=NO_THING, thing_look=None, lifted=0.0)
    floats = SUBJECTS[scene.subject].floats
    way = way or str(rng.choice(FLOATING_WAYS) if floats else rng.choice(WALKING_WAYS, p=WALKING_SHARE))
    if way == "still":
        return MovingScene(first=scene, way=way, verb="standing")
    start, end = random_way(scene, way, rng)
    first = dataclasses.replace(scene, x=start[0], y=start[1])
    dx, dy = end[0] - start[0], end[1] - start[1]
    camera = float(rng.uniform(*CAMERA)) if way in ("left", "right") and rng.random() < CAMERA_SHARE else 0.0
    moving = MovingScene(first=first, way=way, verb=VERBS[scene.subject], dx=dx, dy=dy, camera=camera)
    if scene.subject in JUMPERS and rng.random() < JUMP_SHARE:
        return leaping(moving, rng)
    return dataclasses.replace(moving, cycles=(abs(dx) + abs(dy) + camera) / float(rng.uniform(*STRIDE)))


def leaping(moving: MovingScene, rng: np.random.Generator) -> MovingScene:
    """The same scene in one to three leaps, one cycle each."""
    hops, first = int(rng.integers(1, 4)), moving.first
    highest = max(min(LEAP, first.view.ground - first.height - 8), 4.0)
    return dataclasses.replace(
        moving, verb="jumping", hops=hops, leap=float(rng.uniform(0.5, 1)) * highest, cycles=float(hops)
    )


def random_way(scene: Scene, way: str, rng: np.random.Generator) -> tuple[Place, Place]:
    """Start and end of a subject's way, each x and y in pixels: over more than half of the free way, fully in sight."""
    left, right = (side * scene.height + MARGIN for side in SUBJECTS[scene.subject].reach)
    share, at = float(rng.uniform(0.6, 1)), float(rng.random())
    if way in ("left", "right"):
        free = SIZE - right - left
        start = left + at * (1 - share) * free
        return (start, scene.y), (start + share * free, scene.y)
    highest = scene.height + 6
    free = LOWEST - highest
    top = highest + at * (1 - share) * free
    ends = (scene.x, top + share * free), (scene.x, top)
    return ends if way == "up" else ends[::-1]
