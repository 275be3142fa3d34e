"""The modules that inflation puts into a 2-D network of either host: diffusers' UNet or ComfyUI's.

A module is not replaced but recast: a shallow copy with another class shares its submodules and weights. So parameter
names do not change, and everything that relies on them (a LoRA, a checkpoint) still works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..cancelling import check_cancelled, check_in_backward

ModuleT = TypeVar("ModuleT", bound=nn.Module)
# Four frames of 512x512: enough work for any device at a time.
CHUNK_TOKENS = 16384


class FrameCount:
    """How many frames each video of the running batch has. All layers of one inflated UNet share one.

    The last `images` of them are still pictures, which follow the video's frames and have no time. `sides` are height
    and width of the latents.
    """

    def __init__(self) -> None:
        self.value = 1
        self.images = 0
        self.sides = (0, 0)


@dataclass(kw_only=True)
class CheckpointFrames:
    """diffusers' gradient checkpointing, under the frame count of the forward pass.

    An object and not a closure, so that a deep copy of the UNet gets its own, and pickle takes it.
    """

    frames: FrameCount

    def __call__(self, module: nn.Module, *args: Any) -> Any:
        counted = self.frames.value, self.frames.images

        def run(*args: Any) -> Any:
            self.frames.value, self.frames.images = counted
            return module(*args)

        return checkpoint(run, *args, use_reentrant=False)


class ClipGroupNorm(nn.GroupNorm):
    """A group norm with statistics over all frames of a clip: `(b f) c h w` in and out."""

    frames: FrameCount

    def forward(self, folded: Tensor) -> Tensor:
        num_frames = self.frames.value
        if num_frames == 1:
            return super().forward(folded)
        # Frames stacked on top of each other: in the channels-last layout that is a view, not a copy.
        stacked = rearrange(folded, "(b f) c h w -> b c (f h) w", f=num_frames)
        return rearrange(super().forward(stacked), "b c (f h) w -> (b f) c h w", f=num_frames)


class Chunked(nn.Module):
    """A mixin for a layer that treats every token separately: runs it on some of the tokens at a time.

    The inner width of a feed-forward is eight times that of its tokens: for a whole clip it would be the largest
    tensor.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        chunks = tokens.flatten(0, 1).split(CHUNK_TOKENS)
        if len(chunks) == 1:
            return super().forward(tokens)
        return torch.cat([super(Chunked, self).forward(chunk) for chunk in chunks]).view_as(tokens)


class TemporalLayer(nn.Module):
    """A mixin for a transformer block that adds temporal attention to it: `(b f) n d` in and out.

    The block then has two more submodules, `norm_temp` and `attn_temp`; where they are None, nothing is added. The
    attention stands after the block, or before its feed-forward once `move_before_feed_forward` was called.
    """

    frames: FrameCount
    norm3: nn.Module
    ff: nn.Module
    norm_temp: nn.Module | None
    attn_temp: nn.Module | None

    def forward(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        # A compiled model cannot ask: it would be cut into parts here.
        asks = not torch.compiler.is_compiling()
        if asks:
            check_cancelled()
        tokens = super().forward(hidden_states, *args, **kwargs)
        if self.attn_temp is not None and not isinstance(self.ff, AfterTime):
            stacked = rearrange(tokens, "(b f) n d -> b f n d", f=self.frames.value)
            # Added in this shape: a batch of videos would have to be copied into the other one first.
            tokens = rearrange(stacked + self.attend_over_time(stacked), "b f n d -> (b f) n d")
        return check_in_backward(tokens) if asks else tokens

    def attend_over_time(self, stacked: Tensor) -> Tensor:
        """The temporal attention's output, `b f n d` in and out; 0 for still pictures."""
        assert self.norm_temp is not None and self.attn_temp is not None
        video = stacked[:, : self.frames.value - self.frames.images]
        # Copied once: each of the three projections would copy it for itself, and keep its copy for the backward pass.
        lines = rearrange(self.norm_temp(video), "b f n d -> (b n) f d").contiguous()
        output = rearrange(self.attn_temp(lines), "(b n) f d -> b f n d", n=stacked.shape[2])
        if self.frames.images:
            output = torch.cat([output, torch.zeros_like(stacked[:, -self.frames.images :])], dim=1)
        return output


class PassedOn(nn.Module):
    """A mixin for a norm that gives its input as it is; `normalize` does what the norm did."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens

    def normalize(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens)


class AfterTime(nn.Module):
    """A mixin for a block's feed-forward that runs the block's temporal attention first."""

    # In a tuple, because a submodule that holds its owner would be walked through for ever.
    block: tuple[TemporalLayer]

    def forward(self, tokens: Tensor) -> Tensor:
        (block,) = self.block
        stacked = rearrange(tokens, "(b f) n d -> b f n d", f=block.frames.value)
        over_time = rearrange(block.attend_over_time(stacked), "b f n d -> (b f) n d")
        assert isinstance(block.norm3, PassedOn), "move_before_feed_forward recasts both"
        return over_time + super().forward(block.norm3.normalize(tokens + over_time))


def move_before_feed_forward(block: TemporalLayer, *, norm: nn.Module, feed_forward: type[nn.Module]) -> None:
    """Makes an inflated block attend over time before its feed-forward, in place, as LaVie's blocks do.

    Neither host has a hook there. Both end a block with `x + ff(norm3(x))`. So norm3 passes x on, and the feed-forward
    gives t + ff(norm3(x + t)), where t is the temporal attention of x. Parameter names do not change.

    Args:
        norm: the block's last norm with `PassedOn` mixed into its class.
        feed_forward: the host's feed-forward with `AfterTime` mixed in.
    """
    block.norm3 = norm
    block.ff = recast(block.ff, feed_forward, block=(block,))


def recast(module: nn.Module, cls: type[ModuleT], **attributes: Any) -> ModuleT:
    """A shallow copy of a module with another class; it shares the submodules and parameters."""
    twin = cls.__new__(cls)
    twin.__dict__ = {
        name: value.copy() if name in ("_modules", "_parameters", "_buffers") else value
        for name, value in module.__dict__.items()
    }
    twin.__dict__.update(attributes)
    return twin
