"""The steps from noise to a video, as a list of noise levels; and the loop that takes them.

DDIM, DDPM and Euler take the same step between two levels (schedule.py, `ddim_step`). They differ in the timesteps, in
the level that they end at, and in how much fresh noise a step adds: DDPM's is DDIM's with eta 1 (arXiv 2010.02502,
section 4.1), and Euler's is DDIM's at timesteps between the trained ones (arXiv 2206.00364, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.schedule import NoiseSchedule, ddim_step, draw_noise

OnLatents = Callable[[int, int, Tensor], None]


@dataclass(frozen=True, kw_only=True)
class NoiseStep:
    """One step: epsilon is predicted at `timestep`, and the latents go from one alpha to the other."""

    timestep: float
    alpha: float
    alpha_to: float


def leading_steps(schedule: NoiseSchedule, num_steps: int, *, ancestral: bool = False) -> list[NoiseStep]:
    """DDIM's steps on a schedule, from noise to clean; with `ancestral`, diffusers 0.16's DDPM steps.

    Those ignore the schedule's offset and end at an alpha of 1.
    """
    offset = schedule.steps_offset if ancestral else 0
    timesteps = [timestep - offset for timestep in reversed(schedule.timesteps(num_steps))]
    final = 1.0 if ancestral else schedule.final_alpha
    return connect(schedule, timesteps, final)


def even_steps(schedule: NoiseSchedule, num_steps: int, *, whole: bool) -> list[NoiseStep]:
    """Steps at timesteps spread evenly from the last to the first one, both included, down to an alpha of 1.

    Args:
        whole: round the timesteps, as LaVie's interpolation does (its `space_timesteps`); Euler's need not be whole.
    """
    schedule.timesteps(num_steps)  # Refuses numbers of steps that do not fit the schedule.
    last = schedule.num_train_timesteps - 1
    spread = [last * (num_steps - 1 - index) / max(num_steps - 1, 1) for index in range(num_steps)]
    if num_steps == 1:
        spread = [float(last)]
    return connect(schedule, [round(timestep) if whole else timestep for timestep in spread], 1.0)


def connect(schedule: NoiseSchedule, timesteps: Sequence[float], final_alpha: float) -> list[NoiseStep]:
    """The steps from each timestep to the next one, and from the last one to `final_alpha`."""
    alphas = [*(schedule.alpha(timestep) for timestep in timesteps), final_alpha]
    return [
        NoiseStep(timestep=timestep, alpha=alpha, alpha_to=alpha_to)
        for timestep, alpha, alpha_to in zip(timesteps, alphas, alphas[1:], strict=False)
    ]


def plan_steps(sampler: str, schedule: NoiseSchedule, num_steps: int) -> list[NoiseStep]:
    """The steps of one of `lavie_config.SAMPLERS`."""
    if sampler == "euler":
        return even_steps(schedule, num_steps, whole=False)
    return leading_steps(schedule, num_steps, ancestral=sampler == "ddpm")


def walk_steps(
    model: Callable[[Tensor, float], Tensor],
    latents: Tensor,
    steps: Sequence[NoiseStep],
    *,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    on_step: OnLatents | None = None,
) -> Tensor:
    """Takes the steps, one after the other.

    Args:
        model: epsilon for (latents, timestep).
        latents: the start, `b c f h w`.
        eta: how much fresh noise each step adds but the last, see `ddim_step`.
        generator: of that noise, on the CPU.
        on_step: called after each step with (steps done, total steps, latents).
    """
    for done, step in enumerate(steps, start=1):
        noise = None
        if fresh := eta and step.alpha_to < 1:
            assert generator is not None, "fresh noise needs a generator"
            noise = draw_noise(latents.shape, generator).to(latents.device)
        latents = ddim_step(
            latents,
            model(latents, step.timestep),
            alpha=step.alpha,
            alpha_to=step.alpha_to,
            eta=eta if fresh else 0.0,
            noise=noise,
        )
        if on_step is not None:
            on_step(done, len(steps), latents)
    return latents
