"""The layouts of tensors, and checks on them. Every module uses these words:

frames    f h w c      float in [0, 1]
latents   b c f h w    scaled by the VAE's factor
folded    (b f) c h w  the input of a 2-D network: every frame is a separate image
tokens    (b f) n d    the input of a transformer block: n = h w of its level

b  videos in the batch      f  frames      h w  height and width      c d  channels      n  tokens of a frame
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from .cancelling import cancellable
from .errors import ClipError, InputError, LatentsError

# Every VAE of Stable Diffusion 1.x and 2.x halves height and width three times.
VAE_FACTOR = 8
# How many values are checked between two questions whether to go on.
VALUES_AT_ONCE = 2**24

FOLD = "b c f h w -> (b f) c h w"
UNFOLD = "(b f) c h w -> b c f h w"


def fold(latents: Tensor) -> Tensor:
    """`b c f h w` to `(b f) c h w`."""
    return rearrange(latents, FOLD)


def unfold(folded: Tensor, num_frames: int) -> Tensor:
    """`(b f) c h w` back to `b c f h w`."""
    return rearrange(folded, UNFOLD, f=num_frames)


def check_latents(latents: Tensor, *, channels: int | None = None) -> None:
    """Checks that latents are `b c f h w`.

    Raises:
        LatentsError: not a tensor of floats, another rank, an empty axis, or another number of channels.
    """
    floats = isinstance(latents, Tensor) and latents.is_floating_point()
    shape = tuple(latents.shape) if floats else ()
    if len(shape) != 5 or 0 in shape:
        found = f"of shape {shape}" if floats else f"of {getattr(latents, 'dtype', type(latents).__name__)}"
        mend = "Add the missing axis: one video is latents[None], one image is latents[:, :, None]."
        if type(latents).__name__ == "LatentMoments":
            mend = "These are the moments that encode_frames gives: take latents.mean."
        raise LatentsError(
            got=f"latents {found}", expected="floats in five axes, b c f h w, none of them empty", mend=mend
        )
    if channels is not None and shape[1] != channels:
        raise LatentsError(
            got=f"latents with {shape[1]} channels, shape {shape}",
            expected=f"{channels} channels in axis 1 of b c f h w",
            mend="Check the order of the axes: frames come after channels.",
        )


def check_values(latents: Tensor, *, channels: int | None = None) -> None:
    """Checks the latents that enter a stage: as `check_latents`, and that all values are finite. Waits for the device.

    Raises:
        LatentsError: see `check_latents`; or some values are not finite.
    """
    check_latents(latents, channels=channels)
    if not all_finite(latents):
        raise LatentsError(
            got="latents with values that are not finite numbers",
            expected="finite numbers",
            mend="Encode the clip in float32 or bfloat16: in float16 some VAEs overflow.",
        )


def all_finite(tensor: Tensor) -> bool:
    """Whether all values are finite numbers. True for tensors without values, which are used to count memory."""
    if tensor.is_meta or not tensor.is_floating_point():
        return True
    rows = torch.atleast_1d(tensor)
    at_once = max(1, VALUES_AT_ONCE * len(rows) // max(rows.numel(), 1))
    # Not all floats of eight bits have the question.
    eight = tensor.dtype.itemsize == 1
    return all(bool((part.float() if eight else part).isfinite().all()) for part in cancellable(rows.split(at_once)))


def check_finite_frames(frames: Tensor, error: type[InputError]) -> None:
    """Raises `error` unless all values of the frames, in any layout, are finite numbers."""
    if not all_finite(frames):
        raise error(
            got="frames with values that are not finite numbers",
            expected="values in [0, 1]",
            mend="Check how they were made: in float16 some VAEs overflow.",
        )


def check_num_frames(latents: Tensor, num_frames: int) -> None:
    """Checks that latents `b c f h w` hold `num_frames` frames.

    Raises:
        LatentsError: they hold another number of frames.
    """
    if latents.shape[2] != num_frames:
        raise LatentsError(
            got=f"{num_frames} frames for an inversion of {latents.shape[2]} frames",
            expected="the same number of frames in the clip, the inversion and the edit",
            mend=f"Use {latents.shape[2]} frames, or invert the clip again with {num_frames}.",
        )


def check_mask(mask: Tensor, *, num_frames: int, height: int, width: int) -> None:
    """Raises `ClipError` unless a mask is `f h w` or `1 h w` in [0, 1], in the clip's size."""
    if not isinstance(mask, Tensor) or mask.is_complex():
        raise ClipError(
            got=f"a mask of {getattr(mask, 'dtype', type(mask).__name__)}",
            expected="a tensor of numbers, f h w",
            mend="Use torch.as_tensor on an array; read_mask reads files.",
        )
    shape, size = tuple(mask.shape), f"{width}x{height} pixels"
    if mask.ndim != 3 or shape[1:] != (height, width):
        found = f"a mask of {shape[2]}x{shape[1]} pixels" if mask.ndim == 3 else f"a mask of shape {shape}"
        mend = f"Scale or crop the mask to {size}, as the clip was." if mask.ndim == 3 else "Add or drop an axis."
        raise ClipError(got=found, expected=f"f h w, {size} as the clip has", mend=mend)
    if shape[0] not in (1, num_frames):
        raise ClipError(
            got=f"a mask of {shape[0]} frames for a clip of {num_frames}",
            expected=f"{num_frames} frames, or one for all of them",
            mend="Make the mask from the frames of the clip, with the same start and stride.",
        )
    low, high = float(mask.min()), float(mask.max())
    if not (low >= 0 and high <= 1):
        raise ClipError(
            got=f"a mask with values from {low:g} to {high:g}",
            expected="values from 0, outside of what it marks, to 1, inside",
            mend="Divide bytes by 255.",
        )
