"""Captions of scenes: a caption names some of the things that can be named, and none of the others.

Shape, colour, background and size may be left out ("a red thing", "a small circle"). A sketch is always called a
sketch, so that a caption without the word never means one.
"""

import numpy as np

from . import palette, sdf
from .world import Scene

SMALL, BIG = 14.0, 17.5
_OTHER_WORDS = (
    *("the", "of", "and", "with", "in", "at", "an", "moving", "colour", "color"),
    *("object", "shape", "picture", "photo", "image", "video", "ball", "box", "dot"),
)
LEAVE_OUT = {"shape": 0.10, "colour": 0.15, "background": 0.15, "size": 0.5}


def size_word(radius: float) -> str:
    """ "small", "big", or "" for a radius that neither word means."""
    return "small" if radius < SMALL else "big" if radius > BIG else ""


def phrase(
    *,
    shape: str = "",
    colour: str = "",
    background: str = "",
    size: str = "",
    style: str = "plain",
    doing: str = "",
    order: int = 0,
) -> str:
    """The sentence that says these things; an empty string leaves a part out.

    order 0: "a red circle on a blue background"; order 1: "a red circle, blue background".
    doing: what the shape does, "moving left"; it follows the shape's name.
    """
    words = [word for word in (size, colour, shape or "thing") if word]
    sentence = " ".join(["a", *words, *([doing] if doing else [])])
    if style == "sketch":
        sentence = "a sketch of " + sentence
    if not background:
        return sentence
    return f"{sentence}, {background} background" if order else f"{sentence} on a {background} background"


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption of `scene` that leaves parts out at random (LEAVE_OUT)."""
    return phrase(**some_words(scene, rng), style=scene.style, order=random_order(rng))


def some_words(scene: Scene, rng: np.random.Generator) -> dict[str, str]:
    """What a caption says of a scene: what it can name, without the parts that it leaves out."""
    said = {
        "shape": scene.shape,
        "colour": scene.colour,
        "background": scene.background,
        "size": size_word(scene.radius),
    }
    return {part: word for part, word in said.items() if rng.random() >= LEAVE_OUT[part]}


def random_order(rng: np.random.Generator) -> int:
    """The order of a caption's words, see `phrase`."""
    return int(rng.random() < 0.2)


def vocabulary() -> list[str]:
    """Every word that a caption can have, and a few others that people type; each becomes one token."""
    own = ("a", "on", "background", "thing", "sketch", "small", "big", ",")
    return sorted({*own, *_OTHER_WORDS, *sdf.SHAPES, *palette.COLOURS, *palette.BACKGROUNDS})
