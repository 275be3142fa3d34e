"""Edits as they should be: the clip's scenes with the prompt's changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .clips import THING_X, Clip, Edit
from .places import PLACES
from .scene import NO_THING, Scene
from .subjects import SUBJECTS
from .things import random_thing_look


def edited_scenes(clip: Clip, edit: Edit, seed: int = 0) -> tuple[Scene, ...]:
    """A clip's scenes with the edit's changes and nothing else changed. The seed decides what the prompt leaves open;
    the ground stays at its height."""
    rng, first = np.random.default_rng(seed), clip.scenes[0]
    new: dict[str, Any] = {part: getattr(edit, part) for part in edit.changed}
    if "subject" in edit.changed:
        new["look"] = SUBJECTS[edit.subject].random_look(rng)
    if "place" in edit.changed:
        new["view"] = dataclasses.replace(PLACES[edit.place].random_view(rng), ground=first.view.ground)
    if "thing" in edit.changed:
        new |= {"thing": edit.thing or NO_THING, "thing_look": random_thing_look(rng), "thing_x": THING_X}
    return tuple(dataclasses.replace(scene, **new) for scene in clip.scenes)
