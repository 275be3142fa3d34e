"""LaVie's noise: betas that rise linearly from 1e-4 to 0.02, where Stable Diffusion's square roots do.

alphas_cumprod   .9999 at timestep 0, 4.04e-5 at 999; so a start is nearly pure noise
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ..families import SCHEDULER
from ..schedule import NoiseSchedule

BETAS: dict[str, Any] = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
LINEAR: dict[str, Any] = {**SCHEDULER, **BETAS, "prediction_type": "epsilon"}
CONFIGS: dict[str, dict[str, Any]] = {
    "base": LINEAR,
    # Its sampler ends at an alpha of 1, and counts timesteps from 0.
    "interpolation": {**LINEAR, "steps_offset": 0, "set_alpha_to_one": True},
    "super_resolution": {**LINEAR, "prediction_type": "v_prediction"},
    # The noise that super-resolution is told of on its low-resolution input (the x4 upscaler's low_res_scheduler).
    "low_resolution": {**LINEAR, "beta_schedule": "scaled_linear"},
}


@lru_cache
def lavie_schedule(name: str) -> NoiseSchedule:
    """The noise levels of one of `CONFIGS`."""
    return NoiseSchedule.from_config(CONFIGS[name])
