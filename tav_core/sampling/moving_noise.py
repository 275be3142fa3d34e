"""New noise that moves along with the mask of a local edit, so that what it turns into moves along too.

A hat is drawn on a head that moves. If the noise that it is drawn from lay still, each frame would draw another hat.

    mask     f h w in pixels; what is at least half is inside
    moves    per frame, how far the noise of the first frame is moved: (down, right), in cells of the latents
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..layouts import VAE_FACTOR
from ..opencv import import_opencv

Moves = tuple[tuple[int, int], ...]
# A part of a mask that is smaller than this share of its largest part is a speck, such as segmentation leaves behind.
SPECK = 0.05
# The first and the last row that a mask touches in a frame, and its first and last column; None of an empty frame.
Box = tuple[tuple[int, int], tuple[int, int]] | None


def mask_moves(mask: Tensor) -> Moves:
    """How far a mask `f h w` has gone in each frame, counted from the first.

    The sides of its bounding box are followed, but those at the border of the picture: what is beyond is not known. So
    a mask of all but an object stays where it is while the object moves. Frames without a mask stay where the one
    before is.

    Raises:
        InputError: OpenCV is not installed.
    """
    at, before, moves = np.zeros(2), None, []
    last = [side - 1 for side in mask.shape[1:]]
    for box in (bounding_box(frame) for frame in mask >= 0.5):
        if before and box:
            at = at + [mean_step(*axis) for axis in zip(before, box, last, strict=True)]
        before = box or before
        down, right = (round(float(gone) / VAE_FACTOR) for gone in at)
        moves.append((down, right))
    return tuple(moves)


def bounding_box(frame: Tensor) -> Box:
    """The box around what is inside, of a frame `h w` of booleans, without specks."""
    cv2 = import_opencv("to follow the mask", "set resample to 1")
    _, _, stats, _ = cv2.connectedComponentsWithStats(frame.cpu().numpy().astype(np.uint8))
    # The first one is what is outside.
    left, top, width, height, area = stats[1:].T
    if not len(area):
        return None
    whole = area >= SPECK * area.max()
    rows = int(top[whole].min()), int((top + height)[whole].max()) - 1
    columns = int(left[whole].min()), int((left + width)[whole].max()) - 1
    return rows, columns


def mean_step(before: tuple[int, int], after: tuple[int, int], last: int) -> float:
    """How far a box has gone along one axis, by those of its two sides that are inside the picture in both frames.

    Args:
        last: the axis' last pixel.
    """
    steps = [b - a for a, b, border in zip(before, after, (0, last), strict=True) if border not in (a, b)]
    return sum(steps) / len(steps) if steps else 0.0


def move_along(noise: Tensor, moves: Moves) -> Tensor:
    """One noise `b c 1 h w` for all frames, moved for each: `b c f h w`; as it is if nothing moves.

    What leaves on one side enters on the other, which keeps it white noise.
    """
    if not any(down or right for down, right in moves):
        return noise
    return torch.cat([noise.roll(move, (-2, -1)) for move in moves], dim=2)
