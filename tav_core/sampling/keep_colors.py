"""The colors of an upscaled video: its model draws details, and shifts colors that it should have kept."""

from __future__ import annotations

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn import functional as F

from ..errors import ClipError
from .upscale import TIMES, check_small_frames

# Of the Gaussian, in pixels of the clip: what is finer is the upscaler's to draw.
BLUR = 2.0


def keep_colors(large: Tensor, frames: Tensor) -> Tensor:
    """Gives upscaled frames the colors of the clip, over areas of several of its pixels.

    Each frame is made small again; its difference from the clip's, blurred, is enlarged and added. So the correction
    takes nothing from the details, and nothing of the clip's own noise and blocks comes with it.

    Args:
        large: what the upscaler drew, `f 4h 4w 3` in [0, 1].
        frames: the clip, `f h w 3` in [0, 1].

    Returns:
        Frames like `large`, on its device.

    Raises:
        ClipError: the frames have another layout, or the large ones are not four times the clip's size.
    """
    check_small_frames(frames)
    num_frames, height, width, _ = frames.shape
    expected = (num_frames, TIMES * height, TIMES * width, 3)
    if tuple(large.shape) != expected:
        raise ClipError(
            got=f"upscaled frames of shape {tuple(large.shape)}",
            expected=f"{expected}, {TIMES} times the clip's size",
            mend="Pass the clip that was upscaled, whole.",
        )
    small = reduce(large, "f (h y) (w x) c -> f c h w", "mean", y=TIMES, x=TIMES)
    shifts = blurred(rearrange(frames.to(large), "f h w c -> f c h w") - small)
    return torch.cat([corrected(one, shift) for one, shift in zip(large.split(1), shifts.split(1), strict=True)])


def corrected(large: Tensor, shift: Tensor) -> Tensor:
    """One frame with its shift, `1 3 h w`, added; frame by frame, because whole videos of this size take gigabytes."""
    enlarged = F.interpolate(shift, scale_factor=TIMES, mode="bilinear")
    return (large + rearrange(enlarged, "f c h w -> f h w c")).clamp(0, 1)


def blurred(pictures: Tensor) -> Tensor:
    """Pictures `n c h w` under a Gaussian, whose weights at a border are those of the pixels that there are."""
    radius = round(3 * BLUR)
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1).to(pictures) / BLUR) ** 2)
    kernel = (line[:, None] * line)[None, None]
    channels = pictures.shape[1]
    total = F.conv2d(torch.ones_like(pictures[:1, :1]), kernel, padding=radius)
    return F.conv2d(pictures, kernel.expand(channels, 1, -1, -1), padding=radius, groups=channels) / total
