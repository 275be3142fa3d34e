"""Edits as they should be: the clip's scenes with the prompt's changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from .clips import THING_X, Clip, Edit
from .drawing.canvas import SIZE
from .places import PLACES
from .scene import NO_THING, Scene
from .stills import MARGIN
from .subjects import SUBJECTS
from .things import random_thing_look


def height_of(subject: str, scenes: Sequence[Scene]) -> float:
    """The height of another subject on the same way: the source's, if the subject may be so high and stays in sight."""
    kind, (left, right) = SUBJECTS[subject], SUBJECTS[subject].reach
    sides = [side for scene in scenes for side in ((scene.x - MARGIN) / left, (SIZE - MARGIN - scene.x) / right)]
    low, high = kind.height
    return float(np.clip(min(scenes[0].height, *sides), low, high))


def edited_scenes(clip: Clip, edit: Edit, seed: int = 0) -> tuple[Scene, ...]:
    """A clip's scenes with the edit's changes and nothing else changed. The seed decides what the prompt leaves open;
    the ground stays at its height."""
    rng, first = np.random.default_rng(seed), clip.scenes[0]
    new: dict[str, Any] = {part: getattr(edit, part) for part in edit.changed}
    if "subject" in edit.changed:
        new |= {"look": SUBJECTS[edit.subject].random_look(rng), "height": height_of(edit.subject, clip.scenes)}
    if "place" in edit.changed:
        new["view"] = dataclasses.replace(PLACES[edit.place].random_view(rng), ground=first.view.ground)
    if "thing" in edit.changed:
        new |= {"thing": edit.thing or NO_THING, "thing_look": random_thing_look(rng), "thing_x": THING_X}
    return tuple(dataclasses.replace(scene, **new) for scene in clip.scenes)
