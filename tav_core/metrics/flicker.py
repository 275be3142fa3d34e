"""Flicker, measured from the pixels alone."""

from __future__ import annotations

from torch import Tensor


def second_differences(frames: Tensor) -> Tensor:
    """How far each frame is from the mean of its neighbours: mean |I_t+1 - 2 I_t + I_t-1|.

    It is 0 for a still video or an even fade. Motion raises it too, so compare videos with the same motion.

    Args:
        frames: `f h w c` in [0, 1], three frames or more.

    Returns:
        `f-2`, one value per frame that has two neighbours, in [0, 2].
    """
    bend = frames[2:] - 2 * frames[1:-1] + frames[:-2]
    return bend.abs().mean(dim=(1, 2, 3))
