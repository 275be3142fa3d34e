"""Recomputing activations: layers keep only their inputs in the forward pass and run again in the backward pass.

    nothing     every activation is kept: the fastest, but it takes several times the memory
    blocks      each ResNet and each transformer is a unit
    layers      within a transformer, each attention and each part of the feed-forward are units too: the least memory

Units are recast in place (see inflation.py), so that names and weights do not change. diffusers' own gradient
checkpointing has other units: it does not recompute the transformers' norms and projections, and keeps twice as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn
from torch.utils.checkpoint import checkpoint

from ..models.inflation import AfterTime, Chunked, FrameCount, recast

if TYPE_CHECKING:
    from ..models.unet import InflatedUNet


class Recomputed(nn.Module):
    """A mixin for a module that is recomputed; non-reentrant, so that frozen inputs do not block gradients."""

    frames: FrameCount

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        forward, num_frames = super().forward, self.frames.value
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)

        def run(*args: Any, **kwargs: Any) -> Any:
            self.frames.value = num_frames
            return forward(*args, **kwargs)

        # Nothing here draws random numbers: Stable Diffusion has no dropout.
        return checkpoint(run, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)


def set_recompute(unet: InflatedUNet, what: str, *, num_levels: int = 0) -> None:
    """Sets in place what a UNet recomputes. Call it once, on a copy that trains.

    Args:
        unet: the UNet whose modules are recast.
        what: one of `RECOMPUTE` in config.py.
        num_levels: how many of the UNet's resolutions recompute, the finest first; the others keep their activations,
            because coarse levels hold little but cost as much time. 0 means all.
    """
    if what == "nothing":
        return
    for module in recomputed_levels(unet, num_levels):
        replace_units(module, (ResnetBlock2D, Transformer2DModel), unet.frames)
        if what == "layers":
            replace_units(module, (Attention, FeedForward), unet.frames)


def recomputed_levels(unet: InflatedUNet, num_levels: int) -> list[nn.Module]:
    """The blocks of a UNet's finest resolutions; the middle block belongs to the coarsest."""
    count = len(unet.down_blocks)
    chosen = min(num_levels, count) or count
    middle = [unet.mid_block] if chosen == count else []
    return [*unet.down_blocks[:chosen], *middle, *unet.up_blocks[count - chosen :]]


def replace_units(root: nn.Module, classes: tuple[type[nn.Module], ...], frames: FrameCount) -> None:
    """Recasts every module of some classes below `root`, the inner ones first."""
    places = [(o, n) for o in root.modules() for n, child in o.named_children() if isinstance(child, classes)]
    for owner, name in reversed(places):
        unit = getattr(owner, name)
        own = FeedForward if isinstance(unit, FeedForward) else type(unit)
        mixins: tuple[type[nn.Module], ...] = (Recomputed,)
        if own is FeedForward:
            # Chunked comes first, so that each chunk of a feed-forward is a unit, not all chunks together. What runs
            # before LaVie's feed-forward, its temporal attention, is a unit of its own.
            mixins = (*((AfterTime,) if isinstance(unit, AfterTime) else ()), Chunked, Recomputed)
        cls = type(f"Recomputed{own.__name__}", (*mixins, own), {})
        setattr(owner, name, recast(unit, cls, frames=frames))
