"""What a stage works on: the models under a case's settings, and a random clip and text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tav_core.denoiser import UNetDenoiser
from tav_core.layouts import VAE_FACTOR
from tav_core.precision import DTYPES
from tav_core.schedule import NoiseSchedule

from .cases import Case
from .sizes import SIZES, build_unet, build_vae

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel

SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
TEXT_TOKENS = 77


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The inputs of a case's stage, each built when it is first asked for.

    Args:
        case: size and settings.
        meta: shapes without values, in float32: for counting operations.
    """

    case: Case
    meta: bool = False

    @property
    def device(self) -> str:
        return "meta" if self.meta else self.case.device

    @cached_property
    def unet_2d(self) -> UNet2DConditionModel:
        return self.settle(build_unet(SIZES[self.case.size], "meta" if self.meta else "cpu"))

    @cached_property
    def denoiser(self) -> UNetDenoiser:
        from tav_core.unet import InflatedUNet

        backend = "sdpa" if self.meta else self.case.backend
        with torch.device(self.device):
            unet = InflatedUNet.from_2d(self.unet_2d, backend=backend)
        kind = SIZES[self.case.size].prediction_type
        return UNetDenoiser(unet=unet, schedule=NoiseSchedule.from_config({**SCHEDULER, "prediction_type": kind}))

    @cached_property
    def vae(self) -> AutoencoderKL:
        return self.settle(build_vae(SIZES[self.case.size], "meta" if self.meta else "cpu"))

    @cached_property
    def latents(self) -> Tensor:
        """`1 4 f h w`, float32."""
        side = self.case.pixels // VAE_FACTOR
        return self.random(1, 1, 4, self.case.num_frames, side, side)

    @cached_property
    def frames(self) -> Tensor:
        """`f h w 3`, float32 in [0, 1]."""
        return self.random(2, self.case.num_frames, self.case.pixels, self.case.pixels, 3).sigmoid()

    @cached_property
    def context(self) -> Tensor:
        """A text's embeddings, `1 77 d`, float32."""
        return self.random(3, 1, TEXT_TOKENS, self.unet_2d.config.cross_attention_dim)

    def random(self, seed: int, *shape: int) -> Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(self.device)

    def settle(self, module: nn.Module) -> nn.Module:
        """A network on the case's device, in its dtype and its memory format."""
        if self.meta:
            return module
        layout = torch.channels_last if self.case.channels_last else torch.contiguous_format
        return module.to(self.device, DTYPES[self.case.dtype], memory_format=layout)
