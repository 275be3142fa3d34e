"""Background smoothing: the moved first frame's background in place of each frame's own, outside a foreground mask."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from .motion_field import warp

# Latent pixels that a mask grows by to each side; the original dilates with 5x5.
GROWTH = 5


def latent_foreground(mask: Tensor, *, height: int, width: int) -> Tensor:
    """A mask `f h w` in [0, 1] at the latents' size (nearest), and then dilated by 5x5 latent pixels."""
    small = F.interpolate(rearrange(mask.float(), "f h w -> f 1 h w"), (height, width), mode="nearest")
    kernel = np.ones((GROWTH, GROWTH), np.uint8)
    return torch.stack([torch.from_numpy(cv2.dilate(each[0].cpu().numpy(), kernel)) for each in small])


def smooth_background(latents: Tensor, first: Tensor, mask: Tensor, places: Tensor, *, strength: float) -> Tensor:
    """Latents whose background comes from the moved first frame (arXiv 2303.13439, eq. 9 and 10).

        B_k = (1 - M_k) (1 - warp_k(M_0))
        x_k <- (1 - B_k) x_k + B_k (s x_k + (1 - s) warp_k((1 - M_0) x_0))

    The original also changes frame 0 where masks are soft; here frame 0 is left alone.

    Args:
        latents: of frames after the first, `1 c f h w`, at t1.
        first: of frame 0, `1 c 1 h w`, at t1.
        mask: as `latent_foreground` gives it, `f+1 h w`, that of frame 0 first.
        places: where the frames read frame 0, `f h w 2`.
        strength: s, how much a background keeps of its own.
    """
    mask = rearrange(mask, "f h w -> 1 1 f h w").to(latents)
    of_first, own = mask[:, :, :1], mask[:, :, 1:]
    moved = warp(first * (1 - of_first), places)
    background = (1 - own) * (1 - warp(of_first, places))
    return (1 - background) * latents + background * (strength * latents + (1 - strength) * moved)
