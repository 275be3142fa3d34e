"""Optical flow by OpenCV's DIS (Kroeger et al., arXiv 1603.03590), which needs no weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from einops import einsum
from torch import Tensor

from ..cancelling import cancellable
from ..errors import InputError
from ..opencv import import_opencv

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601, as OpenCV turns colour to grey."""
# DIS refuses smaller frames: it finds no coarser level to begin on.
SMALLEST_SIDE = 16
FRAMES_AT_ONCE = 8


class FlowPair(NamedTuple):
    """Displacements between each frame and the next, in pixels; right and down are positive.

    Args:
        forward: `f-1 h w 2`: from a pixel of frame t to its place in frame t+1.
        backward: `f-1 h w 2`: from a pixel of frame t+1 to its place in frame t.
    """

    forward: Tensor
    backward: Tensor


def measure_flow(frames: Tensor) -> FlowPair:
    """The flow between consecutive frames in both directions, by DIS with OpenCV's preset "medium".

    Args:
        frames: `f h w 3` float in [0, 1], two frames or more, each side 16 pixels or more.

    Returns:
        float32 on the CPU.

    Raises:
        InputError: OpenCV is not installed, or the frames are too small.
    """
    cv2 = import_opencv("to measure the motion", "measure without the motion")
    height, width = frames.shape[1:3]
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            got=f"frames of {width}x{height}",
            expected=f"{SMALLEST_SIDE} pixels or more on each side, to measure the motion in them",
            mend="Enlarge the frames, or measure without the motion.",
        )
    grey = to_grey(frames)
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    ways = [
        torch.from_numpy(np.stack([solver.calc(a, b, None) for a, b in cancellable(zip(first, second, strict=True))]))
        for first, second in ((grey[:-1], grey[1:]), (grey[1:], grey[:-1]))
    ]
    return FlowPair(*ways)


def to_grey(frames: Tensor) -> np.ndarray:
    """Luma of frames `f h w 3` in [0, 1], `f h w` uint8, which is what DIS takes."""
    weights = torch.tensor(LUMA, device="cpu", dtype=torch.float32)
    parts = (part.float().cpu().clamp(0, 1) for part in cancellable(frames.detach().split(FRAMES_AT_ONCE)))
    lumas = (einsum(part, weights, "f h w c, c -> f h w") for part in parts)
    return torch.cat([luma.mul(255).round().to(torch.uint8) for luma in lumas]).numpy()
