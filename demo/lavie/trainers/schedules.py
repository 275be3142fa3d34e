"""LaVie's noise, and where the demo's own noise is as strong."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tav_core.models.lavie.schedules import lavie_schedule

from ...creatures.trainers.device import DEVICE
from ...trainers.unet import make_scheduler, snr_weights

# How many times more errors of the noise count, at the most, where there is more noise: of pixels, and of cells.
HIGHEST_FINE, HIGHEST_COARSE = 100.0, 3000.0


class LossWeights(NamedTuple):
    """The weights of squared errors by timestep: of each pixel, and of the means of cells."""

    fine: Tensor
    coarse: Tensor


def linear_alphas(name: str = "base") -> Tensor:
    """Cumulative alphas of one of LaVie's schedules, float32 on the device."""
    schedule = lavie_schedule(name)
    return torch.tensor([schedule.alpha(step) for step in range(schedule.num_train_timesteps)], device=DEVICE)


def loss_weights(alphas: Tensor) -> LossWeights:
    """The weights of the noise's squared errors: those of the velocity's, which are (1 + 1 / SNR) times as large
    (Salimans & Ho, arXiv 2202.00512, appendix D), up to a limit, and min-SNR's where there is little noise.

    Where a layout or a motion is decided, nearly all is noise (an SNR of 1/660 at timestep 800), so that an error of
    the picture is a small one of the noise. Weighted evenly, a network as small as these is no better there than a
    guess, when it has long learned the details.
    """
    snr = alphas / (1 - alphas)
    limits = HIGHEST_FINE, HIGHEST_COARSE
    return LossWeights(*(snr_weights(alphas) * (1 + 1 / snr).clamp(max=limit) for limit in limits))


def matching_timesteps(alphas: Tensor) -> Tensor:
    """The timesteps, with fractions, at which Stable Diffusion's schedule has these cumulative alphas; nan if at none.

    Between two timesteps, the logarithm of the signal-to-noise ratio is taken for a line.
    """
    own = torch.logit(make_scheduler().alphas_cumprod.to(alphas)).flip(0)
    wanted = torch.logit(alphas)
    above = torch.searchsorted(own, wanted).clamp(1, len(own) - 1)
    share = (wanted - own[above - 1]) / (own[above] - own[above - 1])
    found = len(own) - 1 - (above - 1 + share)
    return torch.where((share >= 0) & (share <= 1), found, torch.nan)
