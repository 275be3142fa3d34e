"""Turns the parts of a conditioning, one per video, into arguments of diffusers' UNet, one per frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, LatentsError
from ..layouts import VAE_FACTOR, check_latents
from .conditioning import Conditioning, repeat_size_ids


def join_channels(latents: Tensor, context: Conditioning, *, in_channels: int) -> Tensor:
    """Latents `b c f h w`, followed by the further input channels of the conditioning, if it has any.

    Args:
        in_channels: the number of channels that the UNet takes.

    Raises:
        LatentsError: there are more or fewer channels in all, or the sizes of the two differ.
    """
    if context.channels is None:
        check_latents(latents, channels=in_channels)
        return latents
    check_latents(latents)
    ours, theirs = latents.shape, context.channels.shape
    if ours[1] + theirs[1] != in_channels or (ours[0], *ours[2:]) != (theirs[0], *theirs[2:]):
        raise LatentsError(
            got=f"channels of shape {tuple(theirs)} to concatenate to latents of {tuple(ours)}",
            expected=f"{in_channels} channels in all, and both b c f h w of one size",
            mend="Leave the channels out if the model takes latents alone; otherwise make them from the same clip.",
        )
    return torch.cat([latents, context.channels], dim=1)


def count_images(context: Conditioning, num_frames: int, *, attention: str) -> int:
    """How many of the frames are still pictures.

    Args:
        num_frames: frames and pictures together.
        attention: which frames attn1 attends to.

    Raises:
        ConfigError: there are as many pictures as frames or more, or a frame would attend to a picture.
    """
    images = 0 if context.image_text is None else context.image_text.shape[1]
    if images and (images >= num_frames or attention != "spatial"):
        raise ConfigError(
            got=f"texts for {images} still pictures in {num_frames} frames, with attention {attention!r}",
            expected="at least one frame of a video, and attention 'spatial': pictures belong to no video",
            mend="Append the pictures to the frames, and inflate the UNet with attention 'spatial'.",
        )
    return images


def text_per_frame(context: Conditioning, num_frames: int) -> Tensor:
    """The text of each video, `b m d`; with still pictures that of each frame and picture, `(b f) m d`."""
    if context.image_text is None:
        return context.text
    frames = num_frames - context.image_text.shape[1]
    video = context.text.unsqueeze(1).expand(-1, frames, -1, -1)
    return torch.cat([video, context.image_text], dim=1).flatten(0, 1)


def fill_size_ids(context: Conditioning, latents: Tensor, sizes: Sequence[int] | None) -> Conditioning:
    """A conditioning with a pooled text but no size ids with some for all its videos; any other as it is.

    Args:
        latents: `b c f h w`; without `sizes`, the size ids are those of a whole picture of their size, as in ComfyUI.
        sizes: the six sizes.
    """
    if context.pooled_text is None or context.size_ids is not None:
        return context
    sizes = sizes or picture_sizes(latents.shape[3] * VAE_FACTOR, latents.shape[4] * VAE_FACTOR)
    return dataclasses.replace(context, size_ids=repeat_size_ids(sizes, len(context), context.text.device))


def picture_sizes(height: int, width: int) -> tuple[int, ...]:
    """The six sizes of a picture that was neither made smaller nor cropped, in pixels."""
    return (height, width, 0, 0, height, width)


def added_arguments(context: Conditioning, config: Mapping[str, Any], *, num_frames: int) -> dict[str, Any]:
    """Pooled text, size ids and noise level as arguments of diffusers' UNet. SD 1.x and 2.x take none of them.

    Args:
        config: the UNet's configuration.

    Raises:
        ConfigError: the conditioning has a part that the UNet does not take, or lacks one that it needs.
    """
    taken = set()
    if config.get("addition_embed_type") == "text_time":
        taken |= {"pooled_text", "size_ids"}
    if config.get("num_class_embeds") or config.get("class_embed_type") == "timestep":
        taken |= {"noise_level"}
    parts = {name: part for name, part in context.parts().items() if name not in ("text", "channels", "image_text")}
    if parts.keys() != taken:
        raise ConfigError(
            got=f"a conditioning that has {' and '.join(sorted(parts)) or 'nothing'} besides text and channels",
            expected=f"{' and '.join(sorted(taken)) or 'nothing else'}, which is what this UNet takes",
            mend="Make the conditioning for the same checkpoint.",
        )
    rows = {name: part.repeat_interleave(num_frames, dim=0) for name, part in parts.items()}
    arguments: dict[str, Any] = {"class_labels": rows["noise_level"]} if "noise_level" in rows else {}
    if "pooled_text" in rows:
        arguments["added_cond_kwargs"] = {"text_embeds": rows["pooled_text"], "time_ids": rows["size_ids"]}
    return arguments
