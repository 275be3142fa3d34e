"""Schedulers of diffusers: which ones sampling takes, and how they are set to a checkpoint's noise levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..errors import ConfigError
from ..models.precision import usual_defaults
from ..models.schedule import NoiseSchedule

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

# What sampling takes from a scheduler besides its steps; those on other noise levels than an SD model's lack the first.
STEP_BY = ("alphas_cumprod", "init_noise_sigma", "scale_model_input")
# Settings that a scheduler must share with the checkpoint, so that noise levels match those the model was trained on.
NOISE_SETTINGS = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
)


def make_stepper(
    scheduler: SchedulerMixin, schedule: NoiseSchedule, num_steps: int, device: torch.device
) -> SchedulerMixin:
    """A diffusers scheduler of the given one's class and settings, on a checkpoint's noise levels, for epsilon.

    Raises:
        ConfigError: it does not take these noise levels, or this number of steps.
    """
    # Some classes clip by default, for pixels in [-1, 1]; latents have larger values.
    own = noise_settings(schedule) | {"prediction_type": "epsilon", "clip_sample": False}
    try:
        with usual_defaults():
            stepper = scheduler.from_config(scheduler.config, **own)
            stepper.set_timesteps(num_steps, device=device)
    except ValueError as error:
        raise unfit_scheduler(f"{type(scheduler).__name__} for {num_steps} steps ({error})") from error
    return stepper


def noise_settings(schedule: NoiseSchedule) -> dict[str, Any]:
    """What a checkpoint says of its noise levels, as arguments of a diffusers scheduler."""
    return {name: schedule.config[name] for name in NOISE_SETTINGS if name in schedule.config}


def check_scheduler(scheduler: SchedulerMixin) -> None:
    """Raises `ConfigError` unless a diffusers scheduler goes from noise to clean latents, as Stable Diffusion has them.

    Others, such as those of flow models, would end with an obscure error, or with noise.
    """
    from inspect import Parameter, signature

    name = type(scheduler).__name__
    has_all = all(hasattr(scheduler, part) for part in (*STEP_BY, "step", "set_timesteps"))
    parameters = signature(scheduler.step).parameters.values() if has_all else ()
    needed = {each.name for each in parameters if each.default is each.empty and each.kind != Parameter.VAR_KEYWORD}
    # An inverse one goes from clean latents to noise.
    if needed != {"model_output", "timestep", "sample"} or "Inverse" in name:
        raise unfit_scheduler(f"scheduler {name}")


def unfit_scheduler(what: str) -> ConfigError:
    """The error for a scheduler that cannot be sampled with."""
    return ConfigError(
        got=what,
        expected="a scheduler of diffusers that goes from noise to clean latents on Stable Diffusion's noise levels",
        mend="Use EulerDiscreteScheduler or DPMSolverMultistepScheduler, for example, or leave it out for DDIM.",
    )


def takes_generator(scheduler: SchedulerMixin) -> bool:
    """Whether a scheduler's step draws noise from a generator."""
    from inspect import signature

    return "generator" in signature(scheduler.step).parameters
