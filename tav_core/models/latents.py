"""Frames to latents and back, through the VAE of a checkpoint."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..cancelling import cancellable
from ..errors import ClipError, explain_out_of_memory
from ..layouts import VAE_FACTOR, check_finite_frames, check_values
from .schedule import draw_noise

if TYPE_CHECKING:
    from diffusers import AutoencoderKL


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentMoments:
    """The VAE's encoding of a clip: a Gaussian for every latent value. Sample from it instead of encoding again.

    Args:
        mean: `b c f h w`, float32, scaled by the VAE's factor.
        std: the standard deviation, likewise.
    """

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator) -> Tensor:
        """Draws latents `b c f h w`. The generator is on the CPU, so that every device gets the same values."""
        noise = draw_noise(self.mean.shape, generator)
        return self.mean + self.std * noise.to(self.mean.device)


def pad_to_factor(frames: Tensor) -> Tensor:
    """Frames `f h w c` whose sides are multiples of the VAE's factor, 8: their last rows and columns are repeated."""
    bottom, right = (-side % VAE_FACTOR for side in frames.shape[1:3])
    if not bottom and not right:
        return frames
    return F.pad(frames.movedim(-1, 1), (0, right, 0, bottom), mode="replicate").movedim(1, -1)


@explain_out_of_memory("encoding frames", "Use a smaller size or fewer frames.")
@torch.no_grad()
def encode_frames(vae: AutoencoderKL, frames: Tensor) -> LatentMoments:
    """Encodes one clip, a frame at a time, so that memory does not grow with its length.

    Args:
        vae: the checkpoint's autoencoder. If it is in half precision and its config has `force_upcast` (the default for
            Stable Diffusion), a float32 copy of it is used, because its activations overflow.
        frames: `f h w c`, float in [0, 1], height and width multiples of the VAE's factor (8 for Stable Diffusion).

    Returns:
        Moments `1 c f h w` in float32, on the VAE's device.

    Raises:
        ClipError: the frames have another rank or number of channels, there are none, or the size is no such multiple.
        OutOfMemory: the message says what to lower.
    """
    _check_frames(frames, channels=vae.config.in_channels, factor=2 ** (len(vae.config.block_out_channels) - 1))
    vae = _in_full_precision(vae)
    means, stds = [], []
    for frame in cancellable(rearrange(frames, "f h w c -> f 1 c h w")):
        posterior = vae.encode(frame.to(vae.device, vae.dtype) * 2 - 1).latent_dist
        means.append(posterior.mean.float())
        stds.append(posterior.std.float())
    factor = vae.config.scaling_factor
    return LatentMoments(mean=_as_clip(means) * factor, std=_as_clip(stds) * factor)


@explain_out_of_memory("decoding frames", "Use a smaller size or fewer frames.")
@torch.no_grad()
def decode_latents(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Decodes latents `b c f h w`, a frame at a time, to `b f h w c`, float32 in [0, 1], on the CPU.

    For a single clip, take the result's [0], `f h w c`. For half precision, see `encode_frames`.

    Raises:
        LatentsError: another rank, or another number of channels than the VAE's.
        OutOfMemory: says what to lower.
    """
    check_values(latents, channels=vae.config.latent_channels)
    vae = _in_full_precision(vae)
    unscaled = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor
    folded = rearrange(unscaled, "b c f h w -> (b f) 1 c h w")
    # Filled in place, because the frames of a long clip are large, and stacking a list would need them twice.
    frames = None
    for i, frame in enumerate(cancellable(folded)):
        image = rearrange((vae.decode(frame).sample.float() / 2 + 0.5).clamp(0, 1), "1 c h w -> h w c")
        frames = image.new_empty((len(folded), *image.shape), device="cpu") if frames is None else frames
        frames[i] = image
    return rearrange(frames, "(b f) h w c -> b f h w c", b=latents.shape[0])


def _as_clip(frames: list[Tensor]) -> Tensor:
    return rearrange(frames, "f b c h w -> b c f h w")


def _in_full_precision(vae: AutoencoderKL) -> AutoencoderKL:
    """The VAE itself, or a float32 copy if it must not compute in half precision; the given one is not changed."""
    half = vae.dtype in (torch.float16, torch.bfloat16)
    return copy.deepcopy(vae).float() if half and vae.config.force_upcast else vae


def _check_frames(frames: Tensor, *, channels: int, factor: int) -> None:
    known = isinstance(frames, Tensor)
    shape = tuple(frames.shape) if known else ()
    if len(shape) != 4 or 0 in shape or shape[-1] != channels or not frames.is_floating_point():
        raise ClipError(
            got=f"frames of shape {shape} and type {frames.dtype if known else type(frames).__name__}",
            expected=f"f h w {channels}, floats in [0, 1]",
            mend="Put the channels last, drop an alpha channel, divide bytes by 255.",
        )
    if shape[1] % factor or shape[2] % factor:
        raise ClipError(
            got=f"frames of {shape[2]}x{shape[1]} pixels",
            expected=f"width and height in multiples of {factor}",
            mend="Crop, pad or stretch the clip when reading it.",
        )
    check_finite_frames(frames, ClipError)
