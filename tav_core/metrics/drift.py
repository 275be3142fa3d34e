"""How the camera of a clip moves: the flow of what is not the object."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..cancelling import cancellable
from .flow import measure_flow

# The object is where its mask is above this.
AROUND = 0.5


def measure_drift(frames: Tensor, mask: Tensor | None = None) -> np.ndarray:
    """How far the scene has moved on the screen since the first frame: the sum of the median flow from frame to frame.

    The median, not the mean: what the object uncovers at its edges flows with it. On the demo's clips whose camera
    stands still, the mean drifts by as much as 5 pixels of 128, and the median by 0.1.

    Args:
        frames: `f h w 3` float in [0, 1].
        mask: where the object is, `f h w` or `1 h w`, which is left out; None for none.

    Returns:
        `f 2` in pixels, to the right and down; the first row is 0. When the camera moves to the right, the scene moves
        to the left.

    Raises:
        InputError: OpenCV is not installed, or the frames are smaller than 16 pixels.
    """
    if len(frames) < 2:
        return np.zeros((len(frames), 2))
    flow = measure_flow(frames).forward
    steps = torch.zeros(len(flow), 2, dtype=torch.float64, device="cpu")
    covered = None if mask is None else mask.cpu().expand(len(frames), -1, -1) > AROUND
    for number, field in enumerate(cancellable(flow)):
        # A pixel counts if the object is on it neither before nor after.
        seen = field.flatten(0, 1) if covered is None else field[~(covered[number] | covered[number + 1])]
        if len(seen):
            steps[number] = seen.median(dim=0).values
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps.numpy(), axis=0)])
