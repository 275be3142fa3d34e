"""Edits as they should be: the clip's scenes with the prompt's changes, drawn instead of generated.

Encoded and decoded by the model's autoencoder, they are an upper bound for every way of editing: what the oracle reads
wrong even in them was lost in the latents, which summarize blocks of 8 x 8 pixels.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from tav_core import Checkpoint, decode_latents, encode_frames

from ..world.clips import Clip, Edit, changed_parts
from ..world.palette import BACKGROUNDS, COLOURS, second_shade, shade_of
from ..world.world import Scene


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


@torch.no_grad()
def draw_edits(checkpoint: Checkpoint, clip: Clip) -> np.ndarray:
    """Draws all edits of a clip, then encodes and decodes them: `edits f h w 3` in [0, 1]."""
    videos = []
    for edit in clip.edits:
        frames = torch.from_numpy(dataclasses.replace(clip, scenes=edited_scenes(clip, edit)).frames())
        videos.append(decode_latents(checkpoint.vae, encode_frames(checkpoint.vae, frames).mean)[0])
    return torch.stack(videos).numpy()
