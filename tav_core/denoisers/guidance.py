"""Classifier-free guidance: two predictions in one batch, and a step from one beyond the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..models.conditioning import Conditioning, as_conditioning, cat_videos
from .denoiser import Denoiser


def guided(
    denoiser: Denoiser, positive: Conditioning | Tensor, negative: Conditioning | Tensor, scale: float
) -> Callable[[Tensor, float], Tensor]:
    """Epsilon under classifier-free guidance (arXiv 2207.12598, eq. 6), unconditional and conditional in one batch."""
    positive, negative = as_conditioning(positive), as_conditioning(negative)

    def epsilon(latents: Tensor, timestep: float) -> Tensor:
        if scale <= 1:
            return denoiser.epsilon(latents, timestep, positive)
        pair = denoiser.epsilon(torch.cat([latents, latents]), timestep, cat_videos([negative, positive]))
        unconditional, conditional = pair.chunk(2)
        return unconditional + scale * (conditional - unconditional)

    return epsilon
