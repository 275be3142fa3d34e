"""Convolutions over time, of LaVie's super-resolution: a ResNet along the frames, and the module that holds one.

b  videos      f  frames      c  channels      h w  size      t  width of the timestep's embedding
"""

from __future__ import annotations

import torch.nn.functional as F
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from einops import rearrange
from torch import Tensor, nn

from ...layouts import fold, unfold
from ..inflation import FrameCount

# Hard-coded in the original (temporal_module.py), whatever the UNet's configuration says.
GROUPS, EPS = 32, 1e-6


class TemporalResnet(nn.Module):
    """A ResNet block whose convolutions run along the frames at each pixel: `(b f) c h w` in and out.

    Args:
        channels: c.
        frames: the frame count, shared with the UNet.
        kernels: frames that the two convolutions span; beyond the clip there are zeros.
        embedding: t, or None for a block that does not see the timestep.
    """

    def __init__(
        self, channels: int, *, frames: FrameCount, kernels: tuple[int, int], embedding: int | None = None
    ) -> None:
        super().__init__()
        first, second = (
            nn.Conv3d(channels, channels, (kernel, 1, 1), padding=(kernel // 2, 0, 0)) for kernel in kernels
        )
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, channels, eps=EPS), first
        if embedding is not None:
            self.time_emb_proj = nn.Linear(embedding, channels)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, channels, eps=EPS), second
        self.frames = frames

    def forward(self, folded: Tensor, embedding: Tensor | None = None) -> Tensor:
        """`embedding` is that of the timestep, one row per frame, `(b f) t`."""
        video = unfold(folded, self.frames.value)
        hidden = self.conv1(F.silu(self.norm1(video)))
        if embedding is not None:
            shift = self.time_emb_proj(F.silu(embedding))
            hidden = hidden + rearrange(shift, "(b f) c -> b c f 1 1", f=self.frames.value)
        hidden = self.conv2(F.silu(self.norm2(hidden)))
        return folded + fold(hidden)


class TemporalModule(nn.Module):
    """What stands after each block of the UNet: a ResNet along the frames, then one within them, added by a 1x1 conv.

    The last convolution starts at zero, so that an untrained module changes nothing.
    """

    def __init__(self, channels: int, *, frames: FrameCount, embedding: int) -> None:
        super().__init__()
        self.resblocks_3d_t = TemporalResnet(channels, frames=frames, kernels=(5, 3), embedding=embedding)
        self.resblocks_3d_s = ResnetBlock2D(
            in_channels=channels, temb_channels=embedding, groups=GROUPS, eps=EPS, non_linearity="silu"
        )
        self.shift_conv = nn.Conv2d(channels, channels, 1)
        for parameter in self.shift_conv.parameters():
            nn.init.zeros_(parameter)

    def forward(self, folded: Tensor, embedding: Tensor) -> Tensor:
        """`(b f) c h w` in and out; the embedding is `(b f) t`."""
        return folded + self.shift_conv(self.resblocks_3d_s(self.resblocks_3d_t(folded, embedding), embedding))


class TransformerAfterTime(Transformer2DModel):
    """diffusers' transformer with a ResNet along the frames in front of it; the residual is taken after that."""

    resblock_temporal: TemporalResnet

    def forward(self, hidden_states: Tensor, *args: object, **kwargs: object) -> object:
        return super().forward(self.resblock_temporal(hidden_states), *args, **kwargs)
