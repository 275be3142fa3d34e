"""What an edit keeps outside a mask: PSNR and SSIM, as FiVE-Bench computes them (arXiv 2503.13684).

Both pictures are black inside the mask, and the scores are taken over the whole picture: a large mask raises them. So
they compare methods on one clip, and not clips with each other.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn import functional as F

from ..cancelling import cancellable
from ..errors import InputError

# Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004.
SIGMA, REACH = 1.5, 5
K1, K2 = 0.01, 0.03
FRAMES_AT_ONCE = 8


def outside_scores(frames: Tensor, source: Tensor, mask: Tensor) -> dict[str, float]:
    """PSNR in dB and SSIM outside a mask, each the mean over the frames.

    Args:
        frames, source: `f h w 3` in [0, 1], of the same shape.
        mask: `f h w` or, for all frames, `1 h w`; above 0.5 is inside, and does not count.

    Returns:
        `outside_psnr` and `outside_ssim`; nan where a mask covers every picture, and an infinite PSNR where nothing
        differs.

    Raises:
        InputError: the shapes differ.
    """
    if frames.shape != source.shape or mask.shape[1:] != frames.shape[1:3] or len(mask) not in (1, len(frames)):
        raise InputError(
            got=f"frames {tuple(frames.shape)}, a source {tuple(source.shape)} and a mask {tuple(mask.shape)}",
            expected="one size and number of frames",
            mend="Read all three alike.",
        )
    counts = rearrange((mask <= 0.5).float(), "f h w -> f h w 1").expand(len(frames), -1, -1, -1)
    seen = counts.flatten(1).any(1)
    if not seen.any():
        return {"outside_psnr": math.nan, "outside_ssim": math.nan}
    ours, theirs = ((x.float() * counts)[seen] for x in (frames, source))
    errors = reduce((ours - theirs).square(), "f h w c -> f", "mean")
    return {
        "outside_psnr": float((-10 * torch.log10(errors)).mean()),
        "outside_ssim": float(structural_similarity(ours, theirs).mean()),
    }


def structural_similarity(frames: Tensor, source: Tensor) -> Tensor:
    """SSIM of each frame, `f` from `f h w c` in [0, 1]: windows of 11 x 11 pixels, those that are wholly inside.

    Raises:
        InputError: the pictures are smaller than a window.
    """
    if min(frames.shape[1:3]) <= 2 * REACH:
        raise InputError(
            got=f"pictures of {frames.shape[2]}x{frames.shape[1]} pixels",
            expected=f"{2 * REACH + 1} pixels or more",
            mend="Use a larger size.",
        )
    parts = zip(frames.split(FRAMES_AT_ONCE), source.split(FRAMES_AT_ONCE), strict=True)
    return torch.cat([similarity_of(*part) for part in cancellable(parts)])


def similarity_of(frames: Tensor, source: Tensor) -> Tensor:
    """`structural_similarity` of a few frames."""
    x, y = (rearrange(part, "f h w c -> (f c) 1 h w") for part in (frames.double(), source.double()))
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    both = blur(x * y) - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    map_ = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return reduce(map_, "(f c) 1 h w -> f", "mean", f=len(frames))


def blur(images: Tensor) -> Tensor:
    """Gaussian means over the windows, in two passes."""
    places = torch.arange(-REACH, REACH + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-(places**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    lines = F.conv2d(images, rearrange(weights, "k -> 1 1 k 1"))
    return F.conv2d(lines, rearrange(weights, "k -> 1 1 1 k"))
