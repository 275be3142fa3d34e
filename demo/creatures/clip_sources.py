"""The contents of the clips: for each, the words of its prompt, its path, its cycles and its edits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

Path = Callable[[float], dict[str, float]]


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
