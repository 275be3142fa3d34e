"""Flicker, measured from the pixels alone."""

from __future__ import annotations

import torch
from torch import Tensor

from ..cancelling import cancellable

FRAMES_AT_ONCE = 8


def second_differences(frames: Tensor) -> Tensor:
    """How far each frame is from the mean of its neighbours: mean |I_t+1 - 2 I_t + I_t-1|.

    It is 0 for a still video or an even fade. Motion raises it too, so compare videos with the same motion.

    Args:
        frames: `f h w c` in [0, 1], three frames or more.

    Returns:
        `f-2`, one value per frame that has two neighbours, in [0, 2].
    """
    parts = zip(*(part.split(FRAMES_AT_ONCE) for part in (frames[:-2], frames[1:-1], frames[2:])), strict=True)
    bends = (before - 2 * here + after for before, here, after in cancellable(parts))
    return torch.cat([bend.abs().mean(dim=(1, 2, 3)) for bend in bends])
