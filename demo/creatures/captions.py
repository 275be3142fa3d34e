"""Captions of scenes: a caption names some of the things that can be named, and none of the others.

Subject, place and thing may be left out. A style other than plain is always named, so that a caption without one never
means one.
"""

from __future__ import annotations

import numpy as np

from .places import PLACES
from .scene import NO_THING, PLAIN, Scene
from .styles import STYLES
from .subjects import SUBJECTS
from .things import THINGS

VERBS = {
    **dict.fromkeys(SUBJECTS, "running"),
    **dict.fromkeys(("duck", "turtle", "robot"), "walking"),
    **dict.fromkeys(("bird", "balloon"), "flying"),
    "fish": "swimming",
    "car": "driving",
}
WHERE = {
    "meadow": "on the meadow",
    "beach": "on the beach",
    "snow": "in the snow",
    "desert": "in the desert",
    "city": "in the city at night",
    "space": "in space",
    "water": "under water",
}
LEAVE_OUT = {"subject": 0.08, "place": 0.12, "thing": 0.25, "verb": 0.15}
ANY_VERB = 0.3
_MOVING = ("moving", *sorted(set(VERBS.values())))
_OTHER_WORDS = (
    "an",
    "the",
    "of",
    "and",
    "picture",
    "photo",
    "video",
    "image",
    "jumping",
    "standing",
    "animal",
    "style",
)


def phrase(*, subject: str = "", place: str = "", thing: str = "", style: str = PLAIN, verb: str | None = None) -> str:
    """The sentence that says these things; an empty string leaves a part out.

    Args:
        verb: what the subject does; None for its own verb, "" for no verb.

    Returns:
        For example "a rabbit with a hat is running on the meadow, watercolor style".
    """
    doing = VERBS.get(subject, "moving") if verb is None else verb
    words = [with_article(subject) if subject else "something"]
    if thing:
        words.append(f"with {with_article(thing)}")
    if doing:
        words.append(f"is {doing}")
    if place:
        words.append(WHERE[place])
    return " ".join(words) + ("" if style == PLAIN else f", {style} style")


def with_article(noun: str) -> str:
    """ "a rabbit", "an elephant"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption of a scene that leaves parts out at random (`LEAVE_OUT`)."""
    thing = "" if scene.thing == NO_THING else scene.thing
    said = {"subject": scene.subject, "place": scene.place, "thing": thing}
    kept = {part: word for part, word in said.items() if rng.random() >= LEAVE_OUT[part]}
    verb = "" if rng.random() < LEAVE_OUT["verb"] else VERBS[scene.subject]
    if verb and rng.random() < ANY_VERB:
        verb = str(rng.choice(_MOVING))
    return phrase(**kept, style=scene.style, verb=verb)


def vocabulary() -> list[str]:
    """All words of captions, and some that people use around them."""
    places = " ".join(WHERE.values()).split()
    names = (*SUBJECTS, *PLACES, *THINGS, *" ".join(STYLES).split())
    words = {*names, *places, *_MOVING, *_OTHER_WORDS, "a", "is", "with", "something", ","}
    return sorted(words)
