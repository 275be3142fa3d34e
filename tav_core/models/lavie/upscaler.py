"""LaVie's super-resolution: Stable Diffusion's x4 upscaler with attention and convolutions over time.

Beside what the base has, there is a ResNet along the frames before each transformer, and a temporal module after each
block of the UNet. A block's skips are taken before that module.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_2d_blocks import (
    CrossAttnDownBlock2D,
    CrossAttnUpBlock2D,
    DownBlock2D,
    UNetMidBlock2DCrossAttn,
    UpBlock2D,
)
from torch import Tensor, nn

from ..inflation import FrameCount, recast
from ..precision import usual_defaults
from ..shared_weights import replace_modules
from ..unet import InflatedUNet
from .inflate import BASE
from .temporal_conv import TemporalModule, TemporalResnet, TransformerAfterTime


class WithModule(nn.Module):
    """A mixin for a block of the UNet whose output goes through a temporal module."""

    # In a tuple, because the UNet has the module under the published name.
    over_time: tuple[TemporalModule]

    def forward(self, hidden_states: Tensor, temb: Tensor, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(hidden_states, *args, temb=temb, **kwargs)
        (over_time,) = self.over_time
        if isinstance(output, tuple):
            hidden, skips = output
            return over_time(hidden, temb), skips
        return over_time(output, temb)


class DownThrough(WithModule, DownBlock2D):
    """A down block without attention."""


class CrossAttnDownThrough(WithModule, CrossAttnDownBlock2D):
    """A down block with attention."""


class MidThrough(WithModule, UNetMidBlock2DCrossAttn):
    """The middle block."""


class UpThrough(WithModule, UpBlock2D):
    """An up block without attention."""


class CrossAttnUpThrough(WithModule, CrossAttnUpBlock2D):
    """An up block with attention."""


# Named classes, so that pickle finds them.
THROUGH: dict[type[nn.Module], type[nn.Module]] = {
    each.__bases__[1]: each for each in (DownThrough, CrossAttnDownThrough, MidThrough, UpThrough, CrossAttnUpThrough)
}


class UpscalerUNet(InflatedUNet):
    """An x4 upscaler's UNet that sees time. Its input is noisy latents, followed by the low-resolution video.

    The conditioning has `channels`, the video `b 3 f h w` in [-1, 1] with noise of `noise_level` on it.
    """

    @classmethod
    def from_2d(cls, unet: UNet2DConditionModel, *, seed: int = 33, **modes: Any) -> UpscalerUNet:
        """Inflates the x4 upscaler's UNet; temporal weights are still to be filled in.

        Args:
            unet: the upscaler's; its weights are shared, not copied.
            seed: for the new weights.
            modes: see `InflatedUNet.from_2d`; LaVie's by default.
        """
        inflated = super().from_2d(unet, seed=seed, **{**BASE, **modes})
        with torch.random.fork_rng(devices=[]), usual_defaults():
            # torch.manual_seed would also seed the generators of graphics cards, which are not restored.
            torch.default_generator.manual_seed(seed)
            replace_modules(inflated, Transformer2DModel, lambda module: put_in_front(module, inflated.frames))
            add_modules(inflated)
        for module in temporal_parts(inflated):
            module.to(unet.device, unet.dtype)
        inflated.set_modes(**inflated.modes)
        return inflated


def put_in_front(transformer: Transformer2DModel, frames: FrameCount) -> TransformerAfterTime:
    """A transformer with a ResNet along the frames in front of it."""
    before = TemporalResnet(transformer.in_channels, frames=frames, kernels=(3, 3))
    inflated = recast(transformer, TransformerAfterTime)
    inflated.resblock_temporal = before
    return inflated


def add_modules(unet: InflatedUNet) -> None:
    """Adds a temporal module behind each down block, the middle one and each up block, in place."""
    widths, embedding = list(unet.config.block_out_channels), unet.time_embedding.linear_2.out_features

    def modules(channels: list[int]) -> nn.ModuleList:
        return nn.ModuleList(TemporalModule(each, frames=unet.frames, embedding=embedding) for each in channels)

    unet.down_temporal_blocks = modules(widths)
    (unet.mid_temporal_block,) = modules(widths[-1:])
    unet.up_temporal_blocks = modules(widths[::-1])
    for blocks, added in ((unet.down_blocks, unet.down_temporal_blocks), (unet.up_blocks, unet.up_temporal_blocks)):
        for index, module in enumerate(added):
            blocks[index] = through(blocks[index], module)
    unet.mid_block = through(unet.mid_block, unet.mid_temporal_block)


def through(block: nn.Module, module: TemporalModule) -> nn.Module:
    """A block of the UNet whose output goes through a temporal module."""
    return recast(block, THROUGH[type(block)], over_time=(module,))


def temporal_parts(unet: InflatedUNet) -> list[nn.Module]:
    """The modules that super-resolution has beside an inflated UNet."""
    fronts = [part.resblock_temporal for part in unet.modules() if isinstance(part, TransformerAfterTime)]
    return [*fronts, unet.down_temporal_blocks, unet.mid_temporal_block, unet.up_temporal_blocks]
