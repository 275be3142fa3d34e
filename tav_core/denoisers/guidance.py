"""Classifier-free guidance: two predictions, and a step from one beyond the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..models.conditioning import Conditioning, as_conditioning, cat_videos
from .denoiser import Denoiser
from .local_prompts import Placed, epsilon_under


def guided(
    denoiser: Denoiser,
    positive: Conditioning | Tensor,
    negative: Conditioning | Tensor,
    scale: float,
    *,
    together: bool = True,
    lowest_timestep: float = 0.0,
    local: Placed = (),
) -> Callable[[Tensor, float], Tensor]:
    """Epsilon under classifier-free guidance (arXiv 2207.12598, eq. 6).

    Args:
        together: predict without and with the prompt in one batch; one after the other takes half the memory.
        lowest_timestep: below it, there is no guidance (arXiv 2404.07724).
        local: prompts that hold in parts of the picture instead of the positive one, see `place_prompts`.
    """
    positive, negative = as_conditioning(positive), as_conditioning(negative)

    def epsilon(latents: Tensor, timestep: float) -> Tensor:
        if scale <= 1 or timestep < lowest_timestep:
            return epsilon_under(denoiser, latents, timestep, positive, local)
        if together and not local:
            pair = denoiser.epsilon(torch.cat([latents, latents]), timestep, cat_videos([negative, positive]))
            unconditional, conditional = pair.chunk(2)
        else:
            unconditional = denoiser.epsilon(latents, timestep, negative)
            conditional = epsilon_under(denoiser, latents, timestep, positive, local)
        return unconditional + scale * (conditional - unconditional)

    return epsilon
