"""A crude animation as the start of sampling on a core MODEL, in every sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor

from ...tav_core.sampling.config import AnimationConfig, EditConfig
from ...tav_core.sampling.from_animation import held_cells, level_of, noise_animation
from ...tav_core.sampling.injection import check_same_size
from ..sockets.bridge import to_latent, to_latents
from .unet import read_schedule

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...tav_core.models.schedule import NoiseSchedule

# Noise levels are compared as float32.
ROUNDING = 1e-4
OTHER_LATENT = "Sample the latent of the same Animation Start with its MODEL, one video at a time."


def begin(
    model: ModelPatcher, samples: Tensor, start: AnimationConfig, config: EditConfig
) -> tuple[dict[str, Any], Tensor]:
    """The noised animation and the sigmas of the steps that are taken.

    Args:
        samples: of the animation's LATENT, `f c h w`, unscaled and clean.

    Returns:
        A LATENT as a stock sampler takes it without adding noise; sigmas, one per step, and that of timestep 0, where
        DDIM ends.
    """
    schedule, steps = read_schedule(model), start.steps_of(config.num_steps)
    noised = noise_animation(schedule, to_latents(samples, model), start, config)
    # ComfyUI's x_sigma is x_t / sqrt(alpha).
    begun = noised / schedule.alpha(level_of(schedule, steps, config.num_steps)) ** 0.5
    levels = [schedule.sigma(timestep) for timestep in (*reversed(schedule.timesteps(config.num_steps)[:steps]), -1)]
    return to_latent(begun, model), torch.tensor(levels, dtype=torch.float32, device="cpu")


def from_sigma(latents: Tensor, schedule: NoiseSchedule, steps: int, num_steps: int) -> Tensor:
    """Latents `1 c f h w` at ComfyUI's scale, x_t / sqrt(alpha), as the library's with so many steps left, x_t."""
    return latents * schedule.alpha(level_of(schedule, steps, num_steps)) ** 0.5


def hold(model: ModelPatcher, samples: Tensor, mask: Tensor, start: AnimationConfig, *, num_steps: int) -> ModelPatcher:
    """A clone of a MODEL that holds an animation inside a mask in the first steps, as `HeldDenoiser` does.

    It is changed after guidance, where ComfyUI has the clean frames that a step predicts: holding them is holding
    epsilon, and windows, ControlNets and injection have run by then.

    Args:
        samples: of the animation's LATENT, `f c h w`, unscaled and clean.
        mask: `f h w` or `1 h w` in pixels.
    """
    latents = to_latents(samples, model)
    inside, held = held_cells(mask, latents), start.held_of(num_steps)
    patched = model.clone()
    if not held:
        return patched
    until = lowest_sigma(read_schedule(model), start, num_steps, held)
    clean, weights = (rearrange(each, "1 c f h w -> f c h w") for each in (latents, inside))

    def keep(args: dict[str, Any]) -> Tensor:
        found = args["denoised"]
        check_same_size((len(found), *found.shape[-2:]), (len(clean), *clean.shape[-2:]), mend=OTHER_LATENT)
        if float(args["sigma"].max()) < until:
            return found
        return found.lerp(clean.to(found), weights.to(found).expand_as(found))

    patched.set_model_sampler_post_cfg_function(keep)
    return patched


def lowest_sigma(schedule: NoiseSchedule, start: AnimationConfig, num_steps: int, held: int) -> float:
    """The noise level of the last step that holds the animation."""
    return schedule.sigma(level_of(schedule, start.steps_of(num_steps) - held + 1, num_steps)) * (1 - ROUNDING)
