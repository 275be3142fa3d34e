"""The first half of a video from text on a core MODEL, after which the stock samplers go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...tav_core.sampling.zero_shot.config import ZeroShotConfig
from ...tav_core.sampling.zero_shot.generate import Counter, Plan, Run
from .sampling import run_stage
from .unet import read_schedule

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.sampling.zero_shot.motion_field import MotionField


def begin(
    model: ModelPatcher, samples: Tensor, config: ZeroShotConfig, motion: MotionField | None, **guided: Any
) -> tuple[Tensor, Tensor]:
    """Noisy latents at t1, and the sigmas from there on.

    Args:
        samples: `f c h w` of the video's size; their values do not count.
        guided: positive, negative and guidance_scale, see `run_stage`.

    Returns:
        Samples `f c h w`, unscaled, as a stock sampler takes them without adding noise; sigmas, one per step left, and
        that of timestep 0, where DDIM ends.
    """
    schedule = read_schedule(model)
    moved = motion is not None and config.num_frames > 1
    plan = Plan.make(schedule, config, moved=moved, smoothed=False)

    def stage(denoiser, latents, report) -> tuple[Tensor, None]:
        count = Counter(lambda done, total, _: report(done, total), total=plan.to_t0)
        run = Run(denoiser, denoiser.context, denoiser.context, config=config, plan=plan, report=count)
        noisy = run.prepare(motion)(range(1, config.num_frames))
        # ComfyUI's x_sigma is x_t / sqrt(alpha).
        return noisy / schedule.alpha(plan.t1) ** 0.5, None

    noisy, _ = run_stage(model, samples, stage, num_steps=plan.to_t0, name="Start", **guided)
    levels = [schedule.sigma(timestep) for timestep in (*plan.timesteps[plan.to_t1 :], -1)]
    return noisy, torch.tensor(levels, dtype=torch.float32, device="cpu")
