"""DeepCache: the UNet's deep layers in every n-th step only, their features reused in between (arXiv 2312.00858).

From step to step, what the deep layers give changes little. In a step that reuses it, only the outermost layers run:
the first convolution, the decoder's last ResNet and transformer, and the output (the paper's branch 0, with steps of
equal distance). The last ResNet takes the kept features in place of what the layers below it would have given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from ..errors import ConfigError
from ..models.conditioning import Conditioning
from ..models.inflation import recast
from ..models.schedule import NoiseSchedule
from ..models.unet import InflatedUNet
from .denoiser import Denoiser, UNetDenoiser


class LastLayer(nn.Module):
    """The last layer of a decoder's last block, on deep features that were kept; called as the block is."""

    deep: Tensor

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        has_attention = self.has_cross_attention = getattr(block, "has_cross_attention", False)
        parts = ("resnets", "attentions") if has_attention else ("resnets",)
        self.block = recast(block, type(block))
        for name in parts:
            setattr(self.block, name, nn.ModuleList([getattr(block, name)[-1]]))
        # diffusers counts them to know how many skip connections the block takes.
        self.resnets = self.block.resnets

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        return self.block(hidden_states=self.deep, **kwargs)


def outer_layers(unet: InflatedUNet) -> InflatedUNet:
    """A UNet of the outermost layers alone, which share modules and weights with the given one."""
    outer = recast(unet, type(unet))
    outer.down_blocks, outer.mid_block = nn.ModuleList(), None
    outer.up_blocks = nn.ModuleList([LastLayer(unet.up_blocks[-1])])
    return outer


@dataclass(kw_only=True)
class DeepCacheDenoiser:
    """A denoiser for the steps of one sampling, in order; for another one, make another.

    Args:
        denoiser: what runs whole in the first step, in every n-th one from there on, and where the number of videos
            changes because guidance sets in or ends.
        every: n.
    """

    denoiser: UNetDenoiser
    every: int
    since: int = 0
    videos: int = 0

    def __post_init__(self) -> None:
        self.outer = replace(self.denoiser, unet=outer_layers(self.denoiser.unet))

    @property
    def schedule(self) -> NoiseSchedule:
        return self.denoiser.schedule

    def epsilon(self, latents: Tensor, timestep: float, context: Conditioning | Tensor) -> Tensor:
        if self.videos != len(latents) or self.since == self.every:
            self.videos, self.since = len(latents), 0
        self.since += 1
        if self.since > 1:
            return self.outer.epsilon(latents, timestep, context)
        hook = self.denoiser.unet.up_blocks[-1].resnets[-1].register_forward_pre_hook(self.keep)
        try:
            return self.denoiser.epsilon(latents, timestep, context)
        finally:
            hook.remove()

    def keep(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Keeps what comes from the deep layers: all channels of the last ResNet's input but the skip connection's."""
        skipped = self.denoiser.unet.conv_in.out_channels
        self.outer.unet.up_blocks[0].deep = args[0][:, :-skipped].clone()


def reuse_deep(denoiser: Denoiser, every: int) -> Denoiser:
    """A denoiser for one sampling that computes the deep layers in every n-th step only; with 1, the same one.

    Raises:
        ConfigError: it is not a plain inflated UNet: windows, injection and controls need every layer in every step.
    """
    if every == 1:
        return denoiser
    if not isinstance(denoiser, UNetDenoiser) or denoiser.controls:
        name = "a ControlNet or T2I-Adapter" if isinstance(denoiser, UNetDenoiser) else type(denoiser).__name__
        raise ConfigError(
            got=f"deep_every {every} with {name}",
            expected="a tuned model alone, without context windows, injection and controls",
            mend="Set deep_every to 1, or leave the other out.",
        )
    return DeepCacheDenoiser(denoiser=denoiser, every=every)
