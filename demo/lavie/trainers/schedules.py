"""LaVie's noise, and where the demo's own noise is as strong."""

from __future__ import annotations

import torch
from torch import Tensor

from tav_core.models.lavie.schedules import lavie_schedule

from ...creatures.trainers.device import DEVICE
from ...trainers.unet import make_scheduler


def linear_alphas(name: str = "base") -> Tensor:
    """Cumulative alphas of one of LaVie's schedules, float32 on the device."""
    schedule = lavie_schedule(name)
    return torch.tensor([schedule.alpha(step) for step in range(schedule.num_train_timesteps)], device=DEVICE)


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
