"""The contents of the clips in which two shapes cross: for each, its words, its scenes, its paths and its edits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from .world import Scene

Words = tuple[str, str]
Places = dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """What a clip is made of.

    Args:
        words: shape and colour of the first and the second object, and the background.
        scenes: both objects by name, on the same background.
        front: the name of the one that hides the other.
        path: from a time in [0, 1] to what changes in each of the scenes.
        edits: for each, what kind it is, and the words that it changes.
    """

    words: dict[str, object]
    scenes: dict[str, Scene]
    front: str
    path: Callable[[float], Places]
    edits: tuple[tuple[str, dict[str, object]], ...]


def meet(t: float) -> Places:
    """Towards each other along x, and past each other."""
    return {"first": {"x": 18 + 60 * t, "y": 43.0}, "second": {"x": 78 - 60 * t, "y": 53.0, "rotation": 20 * t}}


def corners(t: float) -> Places:
    """One falls from the left to the right, while the other rises."""
    return {
        "first": {"x": 22 + 52 * t, "y": 21 + 54 * t, "rotation": 30 * t},
        "second": {"x": 24 + 50 * t, "y": 74 - 54 * t},
    }


def right_angle(t: float) -> Places:
    """One comes down, the other goes across."""
    return {"first": {"x": 46 + 4 * t, "y": 20 + 58 * t}, "second": {"x": 78 - 60 * t, "y": 50.0}}


def behind_a_post(t: float) -> Places:
    """One hardly moves, and the other passes behind it on its way up."""
    return {
        "first": {"x": 49 - 3 * t, "y": 46 + 4 * t, "rotation": 10 * t},
        "second": {"x": 18 + 60 * t, "y": 72 - 46 * t, "rotation": -20 * t},
    }


def _pair(first: dict[str, object], second: dict[str, object], **behind: object) -> dict[str, Scene]:
    return {"first": Scene(**first, **behind), "second": Scene(**second, **behind)}


SOURCES = {
    "meet": Source(
        words={"first": ("circle", "red"), "second": ("square", "blue"), "background": "gray"},
        scenes=_pair(
            {"shape": "circle", "colour": "red", "rgb": (0.80, 0.16, 0.20), "radius": 14.0, "shading": 0.2},
            {"shape": "square", "colour": "blue", "rgb": (0.16, 0.32, 0.86), "radius": 14.0},
            background="gray",
            background_rgb=(0.50, 0.50, 0.51),
        ),
        front="first",
        path=meet,
        edits=(
            ("first", {"first": ("circle", "yellow")}),
            ("second", {"second": ("triangle", "blue")}),
            ("both", {"first": ("circle", "blue"), "second": ("square", "red")}),
            ("background", {"background": "pink"}),
        ),
    ),
    "corners": Source(
        words={"first": ("star", "yellow"), "second": ("circle", "green"), "background": "black"},
        scenes=_pair(
            {"shape": "star", "colour": "yellow", "rgb": (0.96, 0.84, 0.16), "radius": 14.0},
            {"shape": "circle", "colour": "green", "rgb": (0.16, 0.70, 0.30), "radius": 14.0, "outline": "light"},
            background="black",
            background_rgb=(0.08, 0.07, 0.10),
            texture="stripes",
            texture_rgb=(0.20, 0.18, 0.23),
            texture_angle=35.0,
        ),
        front="second",
        path=corners,
        edits=(
            ("first", {"first": ("square", "yellow")}),
            ("second", {"second": ("circle", "red")}),
            ("both", {"first": ("star", "white"), "second": ("circle", "purple")}),
            ("background", {"background": "blue"}),
        ),
    ),
    "right angle": Source(
        words={"first": ("triangle", "purple"), "second": ("circle", "white"), "background": "green"},
        scenes=_pair(
            {"shape": "triangle", "colour": "purple", "rgb": (0.52, 0.20, 0.76), "radius": 14.0},
            {"shape": "circle", "colour": "white", "rgb": (0.97, 0.97, 0.95), "radius": 14.0},
            background="green",
            background_rgb=(0.42, 0.66, 0.46),
            texture="gradient",
            texture_rgb=(0.34, 0.54, 0.37),
            texture_angle=80.0,
        ),
        front="first",
        path=right_angle,
        edits=(
            ("first", {"first": ("triangle", "red")}),
            ("second", {"second": ("square", "white")}),
            ("both", {"first": ("triangle", "white"), "second": ("circle", "purple")}),
            ("background", {"background": "black"}),
        ),
    ),
    "behind a post": Source(
        words={"first": ("square", "green"), "second": ("star", "red"), "background": "white"},
        scenes=_pair(
            {"shape": "square", "colour": "green", "rgb": (0.15, 0.58, 0.28), "radius": 14.0, "outline": "dark"},
            {"shape": "star", "colour": "red", "rgb": (0.88, 0.14, 0.16), "radius": 14.0},
            background="white",
            background_rgb=(0.96, 0.96, 0.95),
            texture="checker",
            texture_rgb=(0.84, 0.84, 0.83),
            texture_angle=20.0,
        ),
        front="first",
        path=behind_a_post,
        edits=(
            ("first", {"first": ("circle", "green")}),
            ("second", {"second": ("star", "blue")}),
            ("both", {"first": ("square", "yellow"), "second": ("star", "purple")}),
            ("background", {"background": "gray"}),
        ),
    ),
}
