"""Random stills: the scenes that the model is trained on, and the combinations that it never sees."""

from __future__ import annotations

import numpy as np

from .drawing.canvas import SIZE
from .places import PLACES
from .scene import NO_THING, Scene
from .styles import STYLES
from .subjects import SUBJECTS
from .things import THINGS, random_thing_look

SEED = 20221222
NUM_HELD_OUT = 12
STYLE_SHARE = {"plain": 0.64, "sketch": 0.12, "pixel art": 0.12, "watercolor": 0.12}
THING_SHARE = 0.3
MARGIN = 2.0
# Of those that stand on the ground, so many are in a leap, up to so many pixels high.
LEAP_SHARE, LEAP = 0.3, 22.0
# The camera's way in the clips, in pixels.
SCROLL = (0.0, 64.0)

Combination = tuple[str, str]


def combinations() -> list[Combination]:
    """All pairs of subject and place, in a fixed order."""
    return [(subject, place) for subject in SUBJECTS for place in PLACES]


def held_out() -> list[Combination]:
    """The pairs of subject and place that no training still shows: one of each subject, each place once or twice."""
    rng = np.random.default_rng(SEED)
    places = [*PLACES] * 2
    return list(zip(SUBJECTS, rng.permutation(places)[: len(SUBJECTS)].tolist(), strict=True))


def seen() -> list[Combination]:
    """The pairs that training stills show."""
    hidden = set(held_out())
    return [pair for pair in combinations() if pair not in hidden]


def random_scene(rng: np.random.Generator, combination: Combination | None = None, **fixed: object) -> Scene:
    """A random scene.

    Args:
        combination: subject and place; by default, a pair that is not held out.
        fixed: fields of the scene that are not random.
    """
    pairs = seen()
    subject, place = combination or pairs[rng.integers(len(pairs))]
    kind, view = SUBJECTS[subject], PLACES[place].random_view(rng)
    height = float(rng.uniform(*kind.height))
    left, right = (side * height + MARGIN for side in kind.reach)
    thing = str(rng.choice([*THINGS])) if rng.random() < THING_SHARE else NO_THING
    drawn = {
        "look": kind.random_look(rng),
        "view": view,
        "x": float(rng.uniform(left, SIZE - right)),
        "y": random_level(subject, view.ground, height, rng),
        "height": height,
        "lifted": random_leap(subject, view.ground, height, rng),
        "phase": float(rng.uniform()),
        "scroll": float(rng.uniform(*SCROLL)),
        "style": str(rng.choice([*STYLES], p=[STYLE_SHARE[name] for name in STYLES])),
        "thing": thing,
        "thing_look": None if thing == NO_THING else random_thing_look(rng),
        "thing_x": float(rng.choice([rng.uniform(12, 34), rng.uniform(94, 116)])),
        "seed": int(rng.integers(1 << 30)),
    }
    return Scene(subject=subject, place=place, **(drawn | fixed))


def random_leap(subject: str, ground: float, height: float, rng: np.random.Generator) -> float:
    """How high a subject leaps, in pixels; mostly not at all."""
    leap = float(rng.uniform(0, min(LEAP, ground - height - 8)))
    return leap if not SUBJECTS[subject].floats and rng.random() < LEAP_SHARE else 0.0


def random_level(subject: str, ground: float, height: float, rng: np.random.Generator) -> float:
    """The y at which a subject's lowest point is: on the ground, or anywhere above it for one that floats."""
    if not SUBJECTS[subject].floats:
        return float(ground + rng.uniform(-2, 4))
    return float(rng.uniform(height + 6, max(height + 8, min(ground + 4, SIZE - 8))))
