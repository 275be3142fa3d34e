"""Moving scenes: a shape that goes in a direction, and captions that name it.

A scene is a function of time in [0, 1], so that it can be rendered at any rate and size. A clip of 61 frames has the
frames of a clip of 16 as every fourth. Played backwards, a scene is one that goes the other way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..world.captions import phrase, random_order, some_words
from ..world.sdf import reach
from ..world.stills import random_scene
from ..world.world import SIZE, Scene, render

NUM_FRAMES, NUM_DENSE = 16, 61
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}
WAYS = tuple(DIRECTIONS)
WAY_SHARE = (0.22, 0.22, 0.22, 0.22, 0.12)
# The shape's way as a share of the free way; pixels between the shape and the side of the picture, at the least.
LENGTH, MARGIN = (0.6, 1.0), 2.0
TURN_SHARE, TURN = 0.3, 90.0
LEAVE_OUT_WAY = 0.05
Combination = tuple[str, str, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingScene:
    """A scene in time.

    Args:
        first: the scene at time 0.
        way: where its shape goes, a name of `WAYS`.
        length: how far it goes until time 1, in pixels.
        turn: how far it turns meanwhile, in degrees clockwise.
    """

    first: Scene
    way: str
    length: float = 0.0
    turn: float = 0.0

    def at(self, time: float) -> Scene:
        """The scene at a time in [0, 1]."""
        dx, dy = DIRECTIONS[self.way]
        first, gone = self.first, self.length * time
        return dataclasses.replace(
            first, x=first.x + dx * gone, y=first.y + dy * gone, rotation=first.rotation + self.turn * time
        )

    def frames(self, times: Sequence[float] | np.ndarray, *, scale: int = 1) -> np.ndarray:
        """Rendered frames at these times, float32 `f h w 3` in [0, 1], `scale` times 96 pixels wide and high."""
        return np.stack([render(self.at(float(time)), SIZE * scale) for time in times])

    def path(self, times: Sequence[float] | np.ndarray) -> np.ndarray:
        """The shape's centre at these times, `f 2` (x, y) in pixels."""
        scenes = [self.at(float(time)) for time in times]
        return np.array([(scene.x, scene.y) for scene in scenes])

    def backwards(self) -> MovingScene:
        """The scene from its end to its start."""
        return dataclasses.replace(self, first=self.at(1.0), way=opposite(self.way), turn=-self.turn)

    @property
    def prompt(self) -> str:
        """The caption that names everything but the size, "a red star moving right on a blue background"."""
        first = self.first
        said = {"shape": first.shape, "colour": first.colour, "background": first.background}
        return phrase(**said, style=first.style, doing=doing(self.way))


def opposite(way: str) -> str:
    """The way back."""
    dx, dy = DIRECTIONS[way]
    return next(name for name, toward in DIRECTIONS.items() if toward == (-dx, -dy))


def doing(way: str) -> str:
    """What a caption says of a way; nothing of a shape that stands still."""
    return "" if way == "still" else f"moving {way}"


def frame_times(num_frames: int) -> np.ndarray:
    """Times of the frames of a whole clip, from 0 to 1."""
    return np.linspace(0, 1, num_frames)


def random_moving_scene(
    rng: np.random.Generator,
    combination: Combination | None = None,
    *,
    way: str | None = None,
    style: str | None = None,
) -> MovingScene:
    """A random moving scene, without a second object.

    Args:
        combination: shape, colour and background; by default, one that is not held out.
        way, style: where the shape goes, and the style; random by default.
    """
    scene = random_scene(rng, combination)
    while style and scene.style != style:
        scene = random_scene(rng, combination)
    scene = dataclasses.replace(scene, second=None)
    way = way or str(rng.choice(WAYS, p=WAY_SHARE))
    if way == "still":
        return MovingScene(first=scene, way=way)
    room = reach(scene.shape) * scene.radius + MARGIN
    free = SIZE - 2 * room
    length = free * float(rng.uniform(*LENGTH))
    start = room + float(rng.random()) * (free - length)
    axis, sign = ("x", DIRECTIONS[way][0]) if DIRECTIONS[way][0] else ("y", DIRECTIONS[way][1])
    first = dataclasses.replace(scene, **{axis: start if sign > 0 else SIZE - start})
    turn = float(rng.uniform(-TURN, TURN)) if rng.random() < TURN_SHARE else 0.0
    return MovingScene(first=first, way=way, length=length, turn=turn)


def moving_caption(moving: MovingScene, rng: np.random.Generator) -> str:
    """A caption that leaves parts out at random: those that a still's caption does, and now and then the direction."""
    words, told = some_words(moving.first, rng), doing(moving.way)
    if told and rng.random() < LEAVE_OUT_WAY:
        told = "moving"
    return phrase(**words, style=moving.first.style, doing=told, order=random_order(rng))
