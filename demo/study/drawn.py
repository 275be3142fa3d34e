"""Edits drawn as they should be, instead of generated.

Encoded and decoded by the model's autoencoder, they are an upper bound for every way of editing: what the oracle reads
wrong even in them was lost in the latents, which summarize blocks of 8 x 8 pixels.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch

from tav_core import Checkpoint, decode_latents, encode_frames

from .worlds import World


@torch.no_grad()
def draw_edits(world: World, checkpoint: Checkpoint, clip: Any) -> np.ndarray:
    """Draws all edits of a clip, then encodes and decodes them: `edits f h w 3` in [0, 1]."""
    videos = []
    for edit in clip.edits:
        drawn = dataclasses.replace(clip, scenes=tuple(world.edited_scenes(clip, edit)))
        latents = encode_frames(checkpoint.vae, torch.from_numpy(drawn.frames())).mean
        videos.append(decode_latents(checkpoint.vae, latents)[0])
    return torch.stack(videos).numpy()
