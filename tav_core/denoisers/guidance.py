"""Classifier-free guidance: two predictions, and a step from one beyond the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..models.conditioning import Conditioning, as_conditioning, cat_videos
from .denoiser import Denoiser


def guided(
    denoiser: Denoiser,
    positive: Conditioning | Tensor,
    negative: Conditioning | Tensor,
    scale: float,
    *,
    together: bool = True,
    lowest_timestep: float = 0.0,
) -> Callable[[Tensor, float], Tensor]:
    """Epsilon under classifier-free guidance (arXiv 2207.12598, eq. 6).

    Args:
        together: predict without and with the prompt in one batch; one after the other takes half the memory.
        lowest_timestep: below it, there is no guidance (arXiv 2404.07724).
    """
    positive, negative = as_conditioning(positive), as_conditioning(negative)

    def epsilon(latents: Tensor, timestep: float) -> Tensor:
        if scale <= 1 or timestep < lowest_timestep:
            return denoiser.epsilon(latents, timestep, positive)
        if together:
            pair = denoiser.epsilon(torch.cat([latents, latents]), timestep, cat_videos([negative, positive]))
            unconditional, conditional = pair.chunk(2)
        else:
            unconditional, conditional = (denoiser.epsilon(latents, timestep, told) for told in (negative, positive))
        return unconditional + scale * (conditional - unconditional)

    return epsilon
