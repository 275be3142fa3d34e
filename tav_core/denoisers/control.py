"""ControlNets and T2I-Adapters on a video: diffusers' stock 2-D nets, which see each frame as a separate image.

Their output is added inside the UNet, at the same places as in diffusers:
    ControlNet     residuals for every skip connection and the middle block, from the noisy latents, at every step
    T2I-Adapter    one feature map per resolution, from the control frames alone, so once per clip; an adapter of
                   Stable Diffusion XL has one more, for the middle block

A `UNetDenoiser` holds its controls, so every denoiser around it has them: guidance, injection, and context windows,
which pick each window's control frames along with its latents. Several controls add up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..errors import CheckpointError, ClipError
from ..layouts import VAE_FACTOR, check_mask
from ..models.families import FAMILIES, join_titles, list_text_widths
from ..models.inflation import FrameCount, recast
from .config import ControlConfig
from .residuals import ReadyAdapter, ReadyControl, ReadyControlNet, only_inside

if TYPE_CHECKING:
    from diffusers import ControlNetModel, T2IAdapter

    from ..models.unet import InflatedUNet
    from .denoiser import UNetDenoiser

# An adapter processes this many frames at a time, so that its activations do not grow with the clip.
ADAPTER_FRAMES = 16
SAME_AS_UNET = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim", "addition_embed_type")
DenoiserT = TypeVar("DenoiserT", bound="UNetDenoiser")


@dataclass(frozen=True, kw_only=True, eq=False)
class Control:
    """A control net and its control frames.

    Args:
        net: diffusers' `ControlNetModel` or `T2IAdapter`, for the checkpoint's family; see control_nets.py.
        frames: depth, edges, poses or whatever the net was made for: `f h w c` in [0, 1], one per frame of the clip, in
            the clip's size. A net for grey pictures gets the mean of the channels.
        config: see `ControlConfig`.
        mask: where it acts, `f h w` or `1 h w` in [0, 1], in the frames' size; None for everywhere. Elsewhere the edit
            is free, whereas frames that are black there would say that nothing is there.

    Raises:
        ClipError: the frames have another rank or range, or the mask has another size, number of frames, rank or range.
    """

    net: ControlNetModel | T2IAdapter
    frames: Tensor
    config: ControlConfig = dataclasses.field(default_factory=ControlConfig)
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        floating = isinstance(self.frames, Tensor) and self.frames.is_floating_point()
        shape = tuple(self.frames.shape) if floating else ()
        if len(shape) != 4 or shape[-1] not in (1, 3) or 0 in shape:
            kind = f"shape {shape}" if floating else getattr(self.frames, "dtype", type(self.frames).__name__)
            raise ClipError(
                got=f"control frames of {kind}",
                expected="floating point f h w c, with one channel or three",
                mend="Give frames as read_clip returns them.",
            )
        if not 0 <= self.frames.min() <= self.frames.max() <= 1:
            raise ClipError(
                got=f"control frames from {self.frames.min():g} to {self.frames.max():g}",
                expected="values from 0 to 1",
                mend="Divide 8-bit pictures by 255.",
            )
        if self.mask is not None:
            num_frames, height, width, _ = shape
            check_mask(self.mask, num_frames=num_frames, height=height, width=width)


@torch.no_grad()
def add_controls(denoiser: DenoiserT, controls: Sequence[Control]) -> DenoiserT:
    """Adds controls to those of a denoiser. The given denoiser and the nets are not changed.

    With context windows, add them to the inner one: `WindowedDenoiser(denoiser=add_controls(denoiser, controls), ...)`.

    Args:
        denoiser: a `UNetDenoiser`.
        controls: see `Control`. Their frames and features stay on the UNet's device as long as the denoiser exists: at
            512x512 in half precision, 1.6 MB per frame for a ControlNet and 4.7 MB for a T2I-Adapter, 3.3 MB for one
            of Stable Diffusion XL.

    Raises:
        CheckpointError: a net is made for another family of models.
    """
    ready = tuple(make_ready(control, denoiser.unet) for control in controls)
    return dataclasses.replace(denoiser, controls=(*denoiser.controls, *ready))


def make_ready(control: Control, unet: InflatedUNet) -> ReadyControl:
    """Checks a control's net against the UNet, and moves the control to the UNet's device and dtype."""
    from diffusers import ControlNetModel, T2IAdapter

    from ..models.shared_weights import cast

    net, device, dtype = control.net, unet.device, unet.dtype
    assert isinstance(net, ControlNetModel | T2IAdapter), f"a control with a {type(net).__name__}"
    hint = rearrange(control.frames, "f h w c -> f c h w")
    mask = None if control.mask is None else control.mask.to(device, dtype).expand(len(hint), -1, -1)
    if isinstance(net, ControlNetModel):
        check_controlnet(net, unet)
        check_masked(net, mask)
        frames = FrameCount()
        net = cast(look_across_frames(net, frames, control.config.attention, unet.modes), device, dtype)
        hint = with_channels(hint, net.config.conditioning_channels).to(device, dtype)
        return ReadyControlNet(net=net, hint=hint, mask=mask, config=control.config, frames=frames)
    net = cast(shared_copy(net), device, dtype)
    height, width = (side // VAE_FACTOR for side in hint.shape[2:])
    hint = fill_cells(with_channels(hint, net.config.in_channels), net.config.downscale_factor)
    parts = [net(part.to(device, dtype)) for part in hint.split(ADAPTER_FRAMES)]
    features = tuple(torch.cat(level) for level in zip(*parts, strict=True))
    check_features(features, unet, height=height, width=width)
    return ReadyAdapter(features=only_inside(features, mask), height=height, width=width, config=control.config)


def shared_copy(net: Any) -> Any:
    """A copy of a net that shares its weights, so that it can be changed."""
    from ..models.shared_weights import copy_structure

    return copy_structure(net).requires_grad_(False).eval()


def look_across_frames(net: ControlNetModel, frames: FrameCount, mode: str, modes: dict[str, Any]) -> ControlNetModel:
    """A copy of a ControlNet with the attention processors of an inflated UNet; it shares the weights."""
    from diffusers.models.attention import BasicTransformerBlock, FeedForward

    from ..models.attention import SelfAttention, TextAttention
    from ..models.blocks import ChunkedFeedForward

    net, backend = shared_copy(net), modes["backend"]
    for block in [module for module in net.modules() if isinstance(module, BasicTransformerBlock)]:
        block.attn1.set_processor(SelfAttention(frames=frames, mode=mode, k=modes["attention_k"], backend=backend))
        block.attn2.set_processor(TextAttention(frames=frames, backend=backend))
        if type(block.ff) is FeedForward:
            block.ff = recast(block.ff, ChunkedFeedForward)
    return net


def with_channels(hint: Tensor, channels: int) -> Tensor:
    """Control frames `f c h w` with as many channels as a net takes: grey is the mean, colour is grey three times.

    Raises:
        CheckpointError: the net takes neither one channel nor three.
    """
    if channels not in (1, 3):
        raise CheckpointError(
            got=f"a net for control frames of {channels} channels",
            expected="one for grey pictures or colour ones",
            mend="Choose another net: this one needs more than a picture.",
        )
    hint = hint if channels == 3 else hint.mean(dim=1, keepdim=True)
    return hint.expand(-1, channels, -1, -1)


def fill_cells(hint: Tensor, side: int) -> Tensor:
    """Control frames `f c h w` with their last rows and columns repeated until h and w are multiples of a side.

    An adapter of Stable Diffusion XL makes one value of 16x16 pixels, and clips have sizes of which 8 is a factor.
    """
    bottom, right = (-length % side for length in hint.shape[2:])
    return F.pad(hint, (0, right, 0, bottom), mode="replicate") if bottom or right else hint


def check_controlnet(net: ControlNetModel, unet: InflatedUNet) -> None:
    """Checks that a ControlNet was made for a UNet's architecture.

    Raises:
        CheckpointError: a setting differs; the first such setting is named.
    """
    for name in SAME_AS_UNET:
        # Code has tuples where files keep lists.
        theirs, ours = (list(x) if isinstance(x, tuple) else x for x in (net.config[name], unet.config[name]))
        if theirs != ours:
            raise CheckpointError(
                got=f"a ControlNet for another model: its {name} is {theirs}",
                expected=f"{ours}, as in this checkpoint",
                mend=f"Use one made for this checkpoint's family: {list_text_widths()}.",
            )


def check_masked(net: ControlNetModel, mask: Tensor | None) -> None:
    """Raises `CheckpointError` if a net with a mask gives one value for the whole picture, as *shuffle* does."""
    if mask is not None and net.config.global_pool_conditions:
        raise CheckpointError(
            got="a mask for a ControlNet that gives one value for the whole picture",
            expected="one whose output has places, such as depth, edges or poses",
            mend="Leave the mask out, or use another net.",
        )


def adapter_places(unet: InflatedUNet, *, height: int, width: int) -> list[tuple[int, int, int]]:
    """Channels, height and width of what diffusers' UNet adds an adapter's features to, for latents of this size.

    A level with attention takes one before it halves the size, a level without takes one after, and the middle block
    takes the last if there is one more.
    """
    places, (h, w) = [], (height, width)
    for block, channels in zip(unet.down_blocks, unet.config.block_out_channels, strict=True):
        halved = (-(-h // 2), -(-w // 2)) if block.downsamplers else (h, w)
        attends = getattr(block, "has_cross_attention", False)
        places.append((channels, *((h, w) if attends else halved)))
        h, w = halved
    return [*places, (channels, h, w)]


def check_features(features: Sequence[Tensor], unet: InflatedUNet, *, height: int, width: int) -> None:
    """Checks that an adapter's features, `f c h w` each, fit where the UNet adds them, for latents of this size.

    Raises:
        CheckpointError: they do not.
    """
    places, shapes = adapter_places(unet, height=height, width=width), [tuple(x.shape[1:]) for x in features]
    if shapes in (places[:-1], places):
        return
    made = [family for family in FAMILIES if family.t2i_adapters]
    raise CheckpointError(
        got=f"a T2I-Adapter for another model: its features have the shapes {shapes}",
        expected=f"{places} (channels, height, width; the last is optional), as in this checkpoint",
        mend=f"Use an adapter made for this checkpoint's family. There are some for {join_titles(made)}.",
    )
