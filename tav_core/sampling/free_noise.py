"""FreeNoise: random starts for clips longer than a window (arXiv 2310.15169, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor


def free_noise(shape: tuple[int, ...] | torch.Size, seed: int, *, window: int = 16, stride: int = 4) -> Tensor:
    """float32 noise `b c f h w` from a seed, drawn on the CPU, whose later frames are its first ones in another order.

    Windows far apart then start from the same frames of noise, and show the same things. Each frame on its own is
    Gaussian. A clip that is no longer than a window gets `gaussian_noise`.

    Args:
        window: the frames that are drawn. The paper's.
        stride: frames in a group, whose order is drawn anew each time the group comes. The paper's.
    """
    generator = torch.Generator().manual_seed(seed)
    batch, channels, num_frames, *size = shape
    noise = torch.randn((batch, channels, min(window, num_frames), *size), generator=generator)
    order = list(range(noise.shape[2]))
    while len(order) < num_frames:
        group = order[len(order) - window : len(order) - window + stride]
        order += [group[i] for i in torch.randperm(len(group), generator=generator)]
    return noise[:, :, order[:num_frames]]
