"""Edits as they should be: the clip's scenes with the prompt's changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .clips import Clip, Edit, changed_parts
from .palette import BACKGROUNDS, COLOURS, second_shade, shade_of
from .world import Scene


def edited_scenes(clip: Clip, edit: Edit, seed: int = 0) -> tuple[Scene, ...]:
    """A clip's scenes with the edit's changes and nothing else changed. The seed decides the new shades."""
    rng = np.random.default_rng(seed)
    changed = changed_parts(clip, edit)
    new: dict[str, Any] = {part: getattr(edit, part) for part in changed}
    if "colour" in changed:
        new["rgb"] = shade_of(COLOURS, edit.colour, rng)
    if "background" in changed:
        shade = shade_of(BACKGROUNDS, edit.background, rng)
        new |= {"background_rgb": shade, "texture_rgb": second_shade(edit.background, shade, rng)}
    return tuple(dataclasses.replace(scene, **new) for scene in clip.scenes)
