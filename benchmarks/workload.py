"""What a stage works on: the models with a case's settings, and a random clip and text."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tav_core.models.conditioning import Conditioning
from tav_core.models.precision import DTYPES

from .cases import Case
from .sizes import SIZES, Size, build_denoiser, build_unet, build_vae, random_context, random_latents

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from tav_core.denoisers.denoiser import UNetDenoiser


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The inputs of a case's stage, each built when it is first asked for.

    Args:
        case: size and settings.
        meta: use tensors without values, in float32, to count operations.
    """

    case: Case
    meta: bool = False

    @property
    def device(self) -> str:
        return "meta" if self.meta else self.case.device

    @property
    def size(self) -> Size:
        """The model's size, with the case's clip."""
        return replace(SIZES[self.case.size], pixels=self.case.pixels)

    @cached_property
    def unet_2d(self) -> UNet2DConditionModel:
        with self.without_values():
            return self.settle(build_unet(self.size, self.dtype))

    @cached_property
    def denoiser(self) -> UNetDenoiser:
        with self.without_values():
            return build_denoiser(
                self.unet_2d,
                device=self.device,
                dtype=self.dtype,
                backend="sdpa" if self.meta else self.case.backend,
                prediction_type=self.size.prediction_type,
            )

    @cached_property
    def vae(self) -> AutoencoderKL:
        with self.without_values():
            return self.settle(build_vae(self.size))

    @cached_property
    def latents(self) -> Tensor:
        return random_latents(self.size, self.case.num_frames, self.device)

    @cached_property
    def context(self) -> Tensor | Conditioning:
        return random_context(self.unet_2d, self.device)

    @cached_property
    def frames(self) -> Tensor:
        """`f h w 3`, float32 in [0, 1]."""
        shape = (self.case.num_frames, self.case.pixels, self.case.pixels, 3)
        return torch.rand(shape, generator=torch.Generator().manual_seed(2)).to(self.device)

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.meta else DTYPES[self.case.dtype]

    def without_values(self):
        return torch.device("meta") if self.meta else nullcontext()

    def settle(self, module: nn.Module) -> nn.Module:
        """Moves a network to the case's device, dtype and memory format."""
        layout = torch.channels_last if self.case.channels_last else torch.contiguous_format
        return module.to(self.device, self.dtype, memory_format=layout)
