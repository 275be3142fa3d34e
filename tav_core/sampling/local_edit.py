"""Local edits: what a mask and a range of frames leave out stays as in the source.

Two things do it. `keep_outside`: after each step the latents outside a mask are again those that the inversion went
through, so that the edit is made to fit what is around it. `composite`: in the end the pixels outside are the source's
own, bit for bit. Frames are left to `composite` alone: frames of the source among those of the edit would hold the edit
back, because every frame looks at the one before it and at the first.

    mask      f h w in [0, 1], in pixels; 1 is edited. One frame stands for all.
    feather   pixels beyond the mask in which the edit fades out: the mask itself is edited whole
    ramp      frames at the ends of a range over which it fades in and out: no frame outside the range is touched
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from ..errors import ClipError, ConfigError
from ..layouts import VAE_FACTOR, check_finite_frames
from .config import LocalEditConfig
from .trajectory import Trajectory, check_all_kept

if TYPE_CHECKING:
    from .edit import Correct


def edit_mask(mask: Tensor | None, config: LocalEditConfig, *, num_frames: int, height: int, width: int) -> Tensor:
    """The mask for `composite`: a mask, or all of the picture, within a range of frames with its ramps.

    Args:
        mask: `f h w` or, for all frames, `1 h w`; None for the whole picture.
        config: its frames and ramp; the feather is for `composite`.
        height, width: of the clip, in pixels.

    Returns:
        `f h w`, float32.

    Raises:
        ConfigError: frames that the clip has not, or nothing left to edit.
        ClipError: a mask of another size, number of frames, rank or range.
    """
    mask = torch.ones(1, height, width) if mask is None else mask
    check_mask(mask, num_frames=num_frames, height=height, width=width)
    last = num_frames - 1 if config.last_frame == -1 else config.last_frame
    times = frame_ramp(num_frames, config.first_frame, last, config.ramp).to(mask.device)
    combined = mask.float() * rearrange(times, "f -> f 1 1")
    if not combined.any():
        raise ConfigError(
            got="a mask that is 0 everywhere in the frames to edit",
            expected="1 where the clip is to be edited, 0 elsewhere",
            mend="Paint what is to change, or invert the mask.",
        )
    return combined


def frame_ramp(num_frames: int, first: int, last: int, ramp: int) -> Tensor:
    """How much each frame is edited, `f` in [0, 1]: 0 outside `first` to `last`, both included.

    Within them it rises over `ramp` frames, and falls likewise, unless the clip itself begins or ends there.

    Raises:
        ConfigError: frames that the clip has not, or a ramp below 0.
    """
    if not 0 <= first <= last < num_frames or ramp < 0:
        raise ConfigError(
            got=f"frames {first} to {last} with a ramp of {ramp}, in a clip of {num_frames}",
            expected=f"a first and a last frame from 0 to {num_frames - 1}, in this order, and a ramp of 0 or more",
            mend="Frames are counted from 0 in the clip as it was loaded, after start and stride.",
        )
    frames = torch.arange(num_frames, dtype=torch.float32)
    rise = (frames - first + 1) / (ramp + 1) if first else torch.ones(num_frames)
    fall = (last - frames + 1) / (ramp + 1) if last < num_frames - 1 else torch.ones(num_frames)
    inside = (frames >= first) & (frames <= last)
    return torch.minimum(rise, fall).clamp(0, 1) * inside


def feather_mask(mask: Tensor, feather: int) -> Tensor:
    """A mask `f h w` with a soft edge outside it: as it was inside, falling evenly to 0 beyond `feather` pixels.

    Half the way the mask grows, then a mean as wide as the other half makes a slope of its edge.
    """
    reach = feather // 2
    grown = pool(mask, feather - reach, max_pool2d)
    # count_include_pad: beyond the picture is nothing, rather than something unmasked.
    soft = pool(grown, reach, lambda x, *how: avg_pool2d(x, *how, count_include_pad=False))
    return torch.maximum(soft, mask)


def pool(mask: Tensor, reach: int, kind: Callable[..., Tensor]) -> Tensor:
    """Pools `f h w` over squares that reach so many pixels to each side; in two passes, which is the same for less."""
    side = 2 * reach + 1
    lines = kind(rearrange(mask, "f h w -> f 1 h w"), (side, 1), 1, (reach, 0))
    return rearrange(kind(lines, (1, side), 1, (0, reach)), "f 1 h w -> f h w")


def latent_mask(mask: Tensor, feather: int) -> Tensor:
    """A mask `f h w` in pixels at the latents' size, `f h/8 w/8`.

    A cell that the mask touches counts whole, or what it shows of the mask would stay as in the source. Those in the
    soft edge count by their mean.
    """
    cells, step = "f (h y) (w x) -> f h w", {"y": VAE_FACTOR, "x": VAE_FACTOR}
    touched = reduce(mask, cells, "max", **step)
    return torch.maximum(touched, reduce(feather_mask(mask, feather), cells, "mean", **step))


def keep_outside(start: Trajectory | Tensor, mask: Tensor, *, feather: int = LocalEditConfig().feather) -> Correct:
    """What `edit` needs as `correct`: after each step the latents outside a mask are again those of the inversion.

        z <- M z + (1 - M) z_inv(t)

    Args:
        start: the trajectory that the edit starts from, with all its latents; on any device.
        mask: `f h w` or `1 h w` in [0, 1], as large as the clip; not that of `edit_mask`, see the module.
        feather: in pixels, as for `composite`.

    Raises:
        ConfigError: a start of noise alone, or a trajectory of which only the ends were kept.
        ClipError: a mask of another size, number of frames, rank or range.
    """
    latents = all_latents(start)
    _, _, _, num_frames, height, width = latents.shape
    check_mask(mask, num_frames=num_frames, height=height * VAE_FACTOR, width=width * VAE_FACTOR)
    weights = rearrange(latent_mask(mask.float(), feather), "f h w -> 1 1 f h w")

    def correct(edited: Tensor, steps_left: int) -> Tensor:
        return torch.lerp(latents[steps_left].to(edited), edited, weights.to(edited))

    return correct


def all_latents(start: Trajectory | Tensor) -> Tensor:
    """The latents of a trajectory, `s b c f h w`, checked to be those of every step."""
    if not isinstance(start, Trajectory):
        raise ConfigError(
            got="a mask for a start of noise",
            expected="the trajectory of an inversion, which knows what was outside the mask",
            mend="Invert the clip and start from its trajectory, or leave the mask out.",
        )
    check_all_kept(start, ConfigError)
    return start.latents


def composite(source: Tensor, edited: Tensor, mask: Tensor, *, feather: int = LocalEditConfig().feather) -> Tensor:
    """The edited frames inside a mask, the source's own outside it and its soft edge, bit for bit.

    Args:
        source, edited: `f h w c` in [0, 1], of the same shape.
        mask: of `edit_mask`, `f h w` or `1 h w`.
        feather: in pixels, as for `keep_outside`.

    Returns:
        `f h w c`, where the source is.

    Raises:
        ClipError: frames of two shapes, or a mask of another size, number of frames, rank or range.
    """
    check_pair(source, edited)
    num_frames, height, width, _ = source.shape
    check_mask(mask, num_frames=num_frames, height=height, width=width)
    weights = rearrange(feather_mask(mask.float(), feather), "f h w -> f h w 1").to(source)
    # lerp is exact at both of its ends.
    return torch.lerp(source, edited.to(source), weights)


def check_pair(source: Tensor, edited: Tensor) -> None:
    """Raises `ClipError` unless source and edited frames are alike, `f h w c`, finite floats."""
    kinds = [f"{tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else type(x).__name__ for x in (source, edited)]
    floats = all(isinstance(x, Tensor) and x.is_floating_point() for x in (source, edited))
    if not floats or source.ndim != 4 or 0 in source.shape or source.shape != edited.shape:
        raise ClipError(
            got=f"source frames of {kinds[0]} and edited ones of {kinds[1]}",
            expected="floats f h w c, of the same shape",
            mend="Give the clip that was inverted, at its size, start and stride; divide bytes by 255.",
        )
    for frames in (source, edited):
        check_finite_frames(frames, ClipError)


def check_mask(mask: Tensor, *, num_frames: int, height: int, width: int) -> None:
    """Raises `ClipError` unless a mask is `f h w` or `1 h w`, as large as a clip, in [0, 1]."""
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
            expected="0 where the source is kept, 1 where it is edited, and what lies between",
            mend="Divide bytes by 255.",
        )
