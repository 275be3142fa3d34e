"""Fills holes in frames: with what other frames show there, else with the nearest pixels."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..cancelling import cancellable

# Frames show the same place if its pixels are this near to their median, as a mean over the frames that show them.
STEADY = 0.06
ROWS_AT_ONCE = 32
# Pixels around a hole that inpainting looks at; OpenCV's examples use 3.
RADIUS = 3


def fill_holes(frames: Tensor, holes: Tensor) -> Tensor:
    """Frames with their holes filled; all other pixels stay bit for bit.

    A pixel that other frames show, and show alike, is their median. Where none shows it, or the camera moves, so that
    they disagree, it comes from the nearest pixels of its own frame (OpenCV's inpainting by Telea's method).

    Args:
        frames: `f h w 3` float in [0, 1].
        holes: `f h w` bool; no frame may be a hole as a whole.
    """
    behind, steady = shown_elsewhere(frames, holes)
    filled = torch.where((holes & steady)[..., None], behind, frames)
    rest = holes & ~steady
    parts = zip(filled, rest, strict=True)
    return torch.stack([inpaint(frame, hole) if hole.any() else frame for frame, hole in cancellable(parts)])


def shown_elsewhere(frames: Tensor, holes: Tensor) -> tuple[Tensor, Tensor]:
    """What the frames show where they have no holes, `h w 3`, and where they agree on it, `h w` bool."""
    medians, agreed = [], []
    for rows, open_rows in cancellable(
        zip(frames.split(ROWS_AT_ONCE, dim=1), (~holes).split(ROWS_AT_ONCE, dim=1), strict=True)
    ):
        seen = rows.masked_fill(~open_rows[..., None], float("nan"))
        median = seen.nanmedian(dim=0).values
        strayed = (seen - median).abs().nanmean(dim=0).mean(-1)
        medians.append(median.nan_to_num())
        # A comparison with nan is false: nobody shows such a pixel.
        agreed.append(strayed <= STEADY)
    return torch.cat(medians), torch.cat(agreed)


def inpaint(frame: Tensor, hole: Tensor) -> Tensor:
    """One frame `h w 3` with a hole `h w` filled from the pixels around it, which OpenCV takes in 8 bits."""
    pixels = (frame.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    done = cv2.inpaint(np.ascontiguousarray(pixels), hole.cpu().numpy().astype(np.uint8), RADIUS, cv2.INPAINT_TELEA)
    return torch.where(hole[..., None], torch.from_numpy(done).to(frame) / 255, frame)
