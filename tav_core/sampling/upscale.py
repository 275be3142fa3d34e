"""Super-resolution with LaVie: a video four times as wide and high.

The upscaler's latents have the size of the low-resolution video, because its VAE enlarges four times. The video itself
goes in beside them, with a little noise, of whose level the model is told.
"""

from __future__ import annotations

import dataclasses

import torch
from einops import rearrange
from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..denoisers.guidance import guided
from ..denoisers.windows import ContextWindows, WindowedDenoiser
from ..errors import ClipError, explain_out_of_memory
from ..layouts import check_finite_frames
from ..models.conditioning import Conditioning, as_conditioning
from ..models.lavie.schedules import lavie_schedule
from ..models.schedule import NoiseSchedule, draw_noise
from .lavie_config import UpscaleConfig
from .noise_steps import OnLatents, leading_steps, walk_steps

LATENT_CHANNELS = 4
# The upscaler's VAE halves height and width twice, and its latents are as large as the clip.
TIMES = 4


@torch.no_grad()
def upscale(
    denoiser: Denoiser,
    frames: Tensor,
    context: Conditioning | Tensor,
    negative_context: Conditioning | Tensor,
    *,
    config: UpscaleConfig | None = None,
    low_res_schedule: NoiseSchedule | None = None,
    noise: tuple[Tensor, Tensor] | None = None,
    on_step: OnLatents | None = None,
) -> Tensor:
    """Makes the latents of a video four times as large. The upscaler's own VAE decodes them (`decode_latents`).

    Args:
        denoiser: of LaVie's super-resolution (`load_lavie`).
        frames: the clip, `f h w 3` in [0, 1], of any size.
        context: the prompt, what the clip shows, `1 m d`, of the upscaler's own text encoder.
        negative_context: the negative prompt likewise.
        config: see `UpscaleConfig`; the prompts are already encoded here.
        low_res_schedule: of the noise on the input; the x4 upscaler's if None.
        noise: what is put on the clip, `1 3 f h w`, and the start, `1 4 f h w`, both standard normal; drawn from the
            seed in this order if None.
        on_step: called after each step with (steps done, total steps, latents).

    Returns:
        Latents `1 4 f h w`, float32; chunks are fused at each step where there are more frames than one holds.

    Raises:
        ClipError: the frames have another layout.
        OutOfMemory: the message says what to lower.
    """
    config = config or UpscaleConfig()
    check_small_frames(frames)
    context, negative_context = as_conditioning(context), as_conditioning(negative_context)
    device = context.text.device
    video = rearrange(frames.float() * 2 - 1, "f h w c -> 1 c f h w")
    generator = torch.Generator("cpu").manual_seed(config.seed)
    on_video, start = noise or (
        draw_noise(video.shape, generator),
        draw_noise((1, LATENT_CHANNELS, *video.shape[2:]), generator),
    )
    low_res_schedule = low_res_schedule or lavie_schedule("low_resolution")
    noisy = low_res_schedule.add_noise(video, on_video.to(video.device), config.noise_level).to(device)
    told = {"channels": noisy, "noise_level": torch.tensor([config.noise_level], device=device)}
    positive, negative = (dataclasses.replace(each, **told) for each in (context, negative_context))
    positive.check(values=True)
    negative.check(values=True)
    # At these sizes a batch of two is no faster, and takes twice the memory.
    chunked = in_chunks(denoiser, config, len(frames))
    model = guided(chunked, positive, negative, config.guidance_scale, together=False)
    steps = leading_steps(denoiser.schedule, config.num_steps)
    with explain_out_of_memory(f"upscaling {len(frames)} frames", "Use a smaller chunk or a smaller clip."):
        return walk_steps(model, start.to(device), steps, on_step=on_step)


def in_chunks(denoiser: Denoiser, config: UpscaleConfig, num_frames: int) -> Denoiser:
    """A denoiser for clips of any length. The chunks move from step to step, so that no frame is always at an edge."""
    if num_frames <= config.chunk:
        return denoiser
    if config.chunk == 1:
        return WindowedDenoiser(denoiser=denoiser, windows=SingleFrames(), anchored=False)
    shifting = config.chunk_overlap > 0
    windows = ContextWindows(length=config.chunk, overlap=config.chunk_overlap, shifting=shifting)
    return WindowedDenoiser(denoiser=denoiser, windows=windows, anchored=False)


class SingleFrames:
    """Windows of one frame each."""

    def at(self, num_frames: int, timestep: float) -> list[range]:
        return [range(frame, frame + 1) for frame in range(num_frames)]


def check_small_frames(frames: Tensor) -> None:
    """Raises `ClipError` unless frames are `f h w 3`, floats that are finite."""
    shape = tuple(frames.shape) if isinstance(frames, Tensor) and frames.is_floating_point() else ()
    if len(shape) != 4 or 0 in shape or shape[-1] != 3:
        raise ClipError(
            got=f"frames of shape {shape}",
            expected="f h w 3, floats in [0, 1]",
            mend="Put the channels last, drop an alpha channel, divide bytes by 255.",
        )
    check_finite_frames(frames, ClipError)
