"""Pictures moved, zoomed and turned by fractions of pixels."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..cancelling import cancellable
from .config import CameraConfig


def shifts(moved: np.ndarray) -> np.ndarray:
    """The maps of `warp_frames` that move frames by `f 2` pixels, to the right and down: `f 2 3`."""
    maps = np.tile(np.eye(2, 3), (len(moved), 1, 1))
    maps[:, :, 2] = -moved
    return maps


def camera_maps(camera: CameraConfig, num_frames: int, *, height: int, width: int) -> np.ndarray:
    """The maps of `warp_frames` for a camera that moves evenly from the first frame to the last: `f 2 3`.

    It turns and zooms about the middle of what it looks at; zoom grows by the same factor in each frame.
    """
    times = np.linspace(0.0, 1.0, num_frames)
    angle, size = np.radians(camera.turn) * times, camera.zoom**-times
    cos, sin = np.cos(angle) * size, np.sin(angle) * size
    gone = np.outer(times, (camera.pan_x * width, camera.pan_y * height))
    rows = [np.stack([cos, -sin, gone[:, 0]], axis=1), np.stack([sin, cos, gone[:, 1]], axis=1)]
    return np.stack(rows, axis=1)


def warp_frames(frames: Tensor, maps: np.ndarray, *, padding: str) -> Tensor:
    """Reads each frame at other places, bilinear.

    Args:
        frames: `f h w c`, or one for all maps.
        maps: `f 2 3`: for each pixel of the result, counted from the middle of the frame, to the right and down, its
            place in the frame that is read.
        padding: what lies outside the frame: "reflection" mirrors it, "zeros" is black.

    Returns:
        `f h w c`. Frames whose map leaves them in place are the same bit for bit.
    """
    still = (maps == np.eye(2, 3)).all(axis=(1, 2))
    sources = frames.expand(len(maps), -1, -1, -1)
    # One at a time: a grid takes as much memory as the frame.
    parts = zip(sources, maps, still, strict=True)
    return torch.stack(
        [frame if stays else warp_one(frame, each, padding) for frame, each, stays in cancellable(parts)]
    )


def warp_one(frame: Tensor, pixels: np.ndarray, padding: str) -> Tensor:
    """`warp_frames` for one frame `h w c` and one map `2 3`."""
    height, width, _ = frame.shape
    # affine_grid counts from -1 to 1 between the outer edges of the outermost pixels.
    half = np.array([width / 2, height / 2])
    scaled = np.concatenate([pixels[:, :2] * half / half[:, None], pixels[:, 2:] / half[:, None]], axis=1)
    # Half precision places pixels by whole pixels only, and torch's sampling in it is not finite everywhere.
    exact = frame.to(torch.promote_types(frame.dtype, torch.float32))
    theta = torch.from_numpy(scaled).to(exact)[None]
    grid = F.affine_grid(theta, [1, 1, height, width], align_corners=False)
    planes = rearrange(exact, "h w c -> 1 c h w")
    moved = F.grid_sample(planes, grid, padding_mode=padding, align_corners=False)
    return rearrange(moved, "1 c h w -> h w c").to(frame.dtype)
