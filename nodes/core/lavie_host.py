"""LaVie's interpolation and super-resolution inside ComfyUI: on the library's own host, with core's VAE and CLIP."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.latent_formats
import comfy.model_management
import comfy.utils
import latent_preview
import torch
from einops import rearrange
from torch import Tensor

from ...tav_core.checkpoints.lavie import LaVie, load_lavie
from ...tav_core.denoisers.denoiser import UNetDenoiser
from ...tav_core.layouts import VAE_FACTOR
from ...tav_core.models.latents import pad_to_factor
from ...tav_core.models.schedule import predict_clean
from ...tav_core.sampling.interpolate import interpolate
from ...tav_core.sampling.upscale import TIMES, upscale
from ..sockets.bridge import TO_LATENTS, TO_SAMPLES
from .frames import decode_frames, encode_frames
from .lavie_inputs import Prompts, check_file, check_vae, same_length
from .terminal_bar import terminal_bar

if TYPE_CHECKING:
    from ...tav_core.models.conditioning import Conditioning
    from ...tav_core.models.schedule import NoiseSchedule
    from ...tav_core.sampling.lavie_config import InterpolateConfig, UpscaleConfig
    from ...tav_core.sampling.noise_steps import OnLatents


@dataclass(kw_only=True)
class Watched:
    """A denoiser that keeps what the first frame of a step will look like, `1 c h w`, for previews."""

    denoiser: UNetDenoiser
    clean: Tensor | None = None

    @property
    def schedule(self) -> NoiseSchedule:
        return self.denoiser.schedule

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning) -> Tensor:
        noise = self.denoiser.epsilon(latents, timestep, context)
        if self.clean is None:
            first = (slice(-1, None), slice(None), 0)
            self.clean = predict_clean(latents[first], noise[first], self.schedule.alpha(timestep))
        return noise


def interpolate_frames(path: Path, vae: Any, frames: Tensor, prompts: Prompts, config: InterpolateConfig) -> Tensor:
    """Frames `k h w 3` in [0, 1] drawn anew with three more between each two, `4k-3 h w 3`; of any size.

    Args:
        path: LaVie's interpolation.
        vae: of a Stable Diffusion 1.x checkpoint.
        prompts: positive and negative.

    Raises:
        CheckpointError: the file, the VAE or the CLIP is another.
    """
    check_vae(vae, VAE_FACTOR, "the VAE of a Stable Diffusion 1.x checkpoint")
    check_file(path, "interpolation", prompts)
    height, width = frames.shape[1:3]
    samples = encode_frames(vae, pad_to_factor(frames), on_frame=lambda done, total: None)
    with on_device(path, "interpolation") as (lavie, device):
        keys = rearrange(samples.float() * lavie.scaling_factor, TO_LATENTS).to(device)
        latents = run(
            lavie,
            prompts,
            device,
            lambda *given, on_step: interpolate(given[0], keys, *given[1:], config=config, on_step=on_step),
            latent_format=comfy.latent_formats.SD15(scale_factor=lavie.scaling_factor),
            bar=("Interpolate", config.num_steps),
        )
        samples = rearrange(latents.cpu() / lavie.scaling_factor, TO_SAMPLES)
    return decode_frames(vae, samples)[:, :height, :width]


def upscale_frames(path: Path, vae: Any, frames: Tensor, prompts: Prompts, config: UpscaleConfig) -> Tensor:
    """Frames `f h w 3` in [0, 1] drawn anew four times as large.

    Args:
        path: LaVie's super-resolution.
        vae: of the x4 upscaler, which enlarges four times.
        prompts: positive and negative, encoded by the x4 upscaler's CLIP.

    Raises:
        CheckpointError: the file, the VAE or the CLIP is another.
    """
    check_vae(vae, TIMES, "the VAE of the x4 upscaler's checkpoint, x4-upscaler-ema.safetensors")
    check_file(path, "super_resolution", prompts)
    with on_device(path, "super_resolution") as (lavie, device):
        latents = run(
            lavie,
            prompts,
            device,
            lambda *given, on_step: upscale(given[0], frames.clamp(0, 1), *given[1:], config=config, on_step=on_step),
            latent_format=comfy.latent_formats.SD_X4(),
            bar=("Upscale", config.num_steps),
        )
        samples = rearrange(latents.cpu() / lavie.scaling_factor, TO_SAMPLES)
    return decode_frames(vae, samples)


def run(
    lavie: LaVie,
    prompts: Prompts,
    device: torch.device,
    sample: Callable[..., Tensor],
    *,
    latent_format: Any,
    bar: tuple[str, int],
) -> Tensor:
    """Samples with a model, with ComfyUI's progress and previews.

    Args:
        sample: takes a denoiser, positive, negative and `on_step`; gives latents.
        bar: name and number of steps of the bar in the terminal.
    """
    positive, negative = same_length(*prompts)
    watched = Watched(denoiser=UNetDenoiser(unet=lavie.unet, schedule=lavie.schedule))
    with shown_steps(watched, latent_format, device, bar) as on_step:
        return sample(watched, positive.to(device=device), negative.to(device=device), on_step=on_step)


@contextmanager
def on_device(path: Path, kind: str) -> Iterator[tuple[LaVie, torch.device]]:
    """One of LaVie's models on ComfyUI's device, which has all the room there; it is given back afterwards."""
    device = comfy.model_management.get_torch_device()
    # Neither CLIP nor VAE is needed while it runs.
    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()
    held: list[LaVie] = []
    try:
        held.append(load_lavie(path, kind, dtype=choose_dtype(device), device=device))
        yield held[0], device
    finally:
        # An error that is shown to the user holds on to what was running, and so would to the weights.
        for lavie in held:
            lavie.unet.to("meta")
        held.clear()
        gc.collect()
        comfy.model_management.soft_empty_cache()


def choose_dtype(device: torch.device) -> torch.dtype:
    """What ComfyUI computes UNets in on a device; types of one byte, which it can be told to use, become float16."""
    dtype = comfy.model_management.unet_dtype(device=device)
    return dtype if dtype.itemsize > 1 else torch.float16


@contextmanager
def shown_steps(watched: Watched, latent_format: Any, device: Any, bar: tuple[str, int]) -> Iterator[OnLatents]:
    """What is called after each step: it tells ComfyUI, shows a preview, and hears a cancel."""
    name, num_steps = bar
    previewer = latent_preview.get_previewer(device, latent_format)
    progress = comfy.utils.ProgressBar(num_steps)
    with terminal_bar(name, num_steps) as line:

        def on_step(done: int, total: int, latents: Tensor) -> None:
            comfy.model_management.throw_exception_if_processing_interrupted()
            picture = previewer and previewer.decode_latent_to_preview_image("JPEG", watched.clean)
            progress.update_absolute(done, total, picture)
            line.update(done - line.n)
            watched.clean = None

        yield on_step
