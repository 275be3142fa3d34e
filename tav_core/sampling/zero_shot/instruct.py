"""Video Instruct-Pix2Pix: edits every frame as an instruction says, with frames that attend to the first one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor

from ...denoisers.denoiser import Denoiser
from ...denoisers.instruct import InstructDenoiser
from ...errors import explain_out_of_memory
from ...layouts import check_latents
from ...models.conditioning import Conditioning, as_conditioning
from ...models.latents import encode_frames
from ...models.precision import usual_defaults
from ...models.schedule import NoiseSchedule, draw_noise
from ..schedulers import noise_settings
from .instruct_config import InstructConfig

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, SchedulerMixin

OnLatents = Callable[[int, int, Tensor], None]
TO_FRAMES, TO_VIDEO = "1 c f h w -> f c h w", "f c h w -> 1 c f h w"


def encode_pictures(vae: AutoencoderKL, frames: Tensor) -> Tensor:
    """Frames `f h w c` in [0, 1] as the pictures that a UNet sees beside its latents, `1 c f h w`.

    They are the mean of the VAE's posterior, not times its scaling factor.
    """
    return encode_frames(vae, frames).mean / vae.config.scaling_factor


@torch.no_grad()
def instruct(
    denoiser: Denoiser,
    pictures: Tensor,
    conditioning: Conditioning | Tensor,
    negative: Conditioning | Tensor,
    *,
    config: InstructConfig | None = None,
    on_step: OnLatents | None = None,
) -> Tensor:
    """Edits a clip as an instruction says, each frame from noise of its own.

    Args:
        denoiser: an InstructPix2Pix model in which frames attend to frame 0.
        pictures: the clip, as `encode_pictures` gives it, `1 c f h w`.
        conditioning: one instruction, as `encode_prompt` gives it.
        negative: the empty prompt, or a negative one.
        config: see `InstructConfig`.
        on_step: called after each step with (steps done, total steps, latents).

    Returns:
        Latents `1 c f h w`, float32.

    Raises:
        LatentsError: the pictures are not `b c f h w`, or the UNet takes no pictures.
        OutOfMemory: the message says what to lower.
    """
    config = config or InstructConfig()
    check_latents(pictures)
    conditioning, negative = as_conditioning(conditioning), as_conditioning(negative)
    conditioning.check(values=True)
    negative.check(values=True)
    told = InstructDenoiser(
        denoiser=denoiser,
        pictures=pictures.to(conditioning.text.device),
        negative=negative,
        guidance_scale=config.guidance_scale,
        image_guidance_scale=config.image_guidance_scale,
    )
    stepper = make_stepper(denoiser.schedule, config)
    generator = torch.Generator("cpu").manual_seed(config.seed)
    # The original draws frames before channels, at the start and in each step.
    shape = rearrange(pictures, TO_FRAMES).shape
    latents = draw_noise(shape, generator).to(told.pictures.device) * stepper.init_noise_sigma
    with explain_out_of_memory(f"editing {len(latents)} frames", "Use fewer frames or a smaller size."):
        for done, timestep in enumerate(stepper.timesteps, start=1):
            scaled = stepper.scale_model_input(latents, timestep)
            epsilon = told.epsilon(rearrange(scaled, TO_VIDEO), float(timestep), conditioning)
            latents = step(stepper, rearrange(epsilon, TO_FRAMES), timestep, latents, generator)
            if on_step is not None:
                on_step(done, len(stepper.timesteps), rearrange(latents, TO_VIDEO))
    return rearrange(latents, TO_VIDEO)


def make_stepper(schedule: NoiseSchedule, config: InstructConfig) -> SchedulerMixin:
    """diffusers' scheduler of a sampler, on a checkpoint's own noise levels; it is given epsilon."""
    from diffusers import DDIMScheduler, EulerAncestralDiscreteScheduler

    settings = noise_settings(schedule)
    with usual_defaults():
        if config.sampler == "ddim":
            kept = {name: schedule.config[name] for name in ("set_alpha_to_one",) if name in schedule.config}
            stepper = DDIMScheduler(**settings, **kept, steps_offset=schedule.steps_offset, clip_sample=False)
        else:
            stepper = EulerAncestralDiscreteScheduler(**settings)
        stepper.set_timesteps(config.num_steps)
    return stepper


def step(
    stepper: SchedulerMixin, epsilon: Tensor, timestep: Tensor, latents: Tensor, generator: torch.Generator
) -> Tensor:
    """The latents after one step, `f c h w`."""
    with usual_defaults():
        return stepper.step(epsilon, timestep, latents, generator=generator, return_dict=False)[0]
