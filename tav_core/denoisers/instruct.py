"""Guidance by an instruction and by the picture that it edits (InstructPix2Pix, arXiv 2211.09800, eq. 3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import repeat
from torch import Tensor

from ..errors import LatentsError
from ..models.conditioning import Conditioning, as_conditioning, cat_videos
from ..models.schedule import NoiseSchedule
from .denoiser import Denoiser
from .windows import check_fits, pick_frames


@dataclass(frozen=True, kw_only=True)
class InstructDenoiser:
    """A denoiser that edits pictures as its context says: three predictions in one batch, and two steps from them.

        e = e(none) + i (e(picture) - e(none)) + t (e(picture, text) - e(picture))

    Both scales may have any value, also below 1. Samplers around it need no guidance of their own.

    Args:
        denoiser: a model whose UNet takes twice as many channels as the latents have.
        pictures: the latents of the frames, `1 c f h w`, by the VAE's mean, *not* times its scaling factor.
        negative: what "no text" is: the empty prompt, or a negative one.
        guidance_scale: t, how strongly the edit follows the instruction.
        image_guidance_scale: i, how strongly it keeps to the picture.
    """

    denoiser: Denoiser
    pictures: Tensor
    negative: Conditioning
    guidance_scale: float
    image_guidance_scale: float

    @property
    def schedule(self) -> NoiseSchedule:
        return self.denoiser.schedule

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning | Tensor) -> Tensor:
        """Epsilon for latents `b c f h w` under both guidances; the pictures serve every video of the batch."""
        count = len(latents)
        pictures = repeat(self.pictures, "1 c f h w -> b c f h w", b=count).to(latents)
        negative = self.negative.expand(count)
        parts = [
            dataclasses.replace(as_conditioning(context), channels=pictures),
            dataclasses.replace(negative, channels=pictures),
            dataclasses.replace(negative, channels=torch.zeros_like(pictures)),
        ]
        told, shown, free = self.denoiser.epsilon(latents.repeat(3, 1, 1, 1, 1), timestep, cat_videos(parts)).chunk(3)
        return free + self.guidance_scale * (told - shown) + self.image_guidance_scale * (shown - free)

    def check_fits(self, shape: Sequence[int]) -> None:
        """Raises `LatentsError` unless there are as many pictures as latents `b c f h w` have frames."""
        if self.pictures.shape[2] != shape[2]:
            raise LatentsError(
                got=f"{self.pictures.shape[2]} pictures to edit for {shape[2]} frames",
                expected="one picture for each frame",
                mend="Make as many frames as there are pictures.",
            )
        check_fits(self.denoiser, shape)

    def pick_frames(self, frames: Sequence[int]) -> InstructDenoiser:
        """The same for some of the frames."""
        inner, own = pick_frames(self.denoiser, frames), self.pictures[:, :, list(frames)]
        return dataclasses.replace(self, denoiser=inner, pictures=own)
