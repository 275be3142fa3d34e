"""Edges of frames, as ControlNets for Canny edges take them."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..cancelling import cancellable
from ..errors import ClipError
from ..settings import is_number

# Text2Video-Zero's, and those that the ControlNet was trained around.
LOW, HIGH = 100, 200


def edges(frames: Tensor, *, low: float = LOW, high: float = HIGH) -> Tensor:
    """White lines on black where frames have edges (Canny, by OpenCV).

    Args:
        frames: `f h w 3` in [0, 1].
        low, high: thresholds for gradients of 8-bit grey: above `high` is an edge, and what touches one above `low`.

    Returns:
        `f h w 3`, 0 or 1.

    Raises:
        ClipError: the frames have another shape, or the thresholds are out of order.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or not frames.is_floating_point():
        raise ClipError(
            got=f"frames of shape {tuple(frames.shape)}, {frames.dtype}",
            expected="floats f h w 3 in [0, 1]",
            mend="Give frames as read_clip returns them.",
        )
    if not (is_number(low) and is_number(high) and 0 <= low <= high):
        raise ClipError(
            got=f"thresholds {low} and {high}",
            expected="0 <= low <= high",
            mend=f"Use {LOW} and {HIGH}, the usual ones.",
        )
    pixels = (frames.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    found = [cv2.Canny(np.ascontiguousarray(frame), low, high) for frame in cancellable(pixels)]
    lines = torch.from_numpy(np.stack(found)).to(frames.dtype) / 255
    return lines[..., None].expand(*lines.shape, 3).contiguous()
