"""Local edits: everything outside a mask and a range of frames stays as in the source.

Two functions do this. `keep_outside` resets the latents outside a mask to those of the inversion after each step, so
that the edit fits its surroundings. `composite` replaces the pixels outside by those of the source at the end, bit for
bit. A range of frames is applied by `composite` alone: source frames among the edited ones would hold the edit back,
because every frame attends to the first and the previous one.

    mask      f h w in [0, 1], in pixels; 1 is edited. A single frame is used for all frames.
    feather   pixels outside the mask over which the edit fades out; all of the mask itself is edited
    ramp      frames at both ends of the range, inside it, over which the edit fades in and out
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from einops import rearrange, reduce
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from ..cancelling import cancellable
from ..errors import ClipError, ConfigError
from ..layouts import VAE_FACTOR, check_finite_frames, check_mask
from .config import LocalEditConfig
from .moving_noise import Moves, mask_moves
from .trajectory import Trajectory, check_all_kept

if TYPE_CHECKING:
    from .samplers import Correct

FRAMES_AT_ONCE = 8


def edit_mask(mask: Tensor | None, config: LocalEditConfig, *, num_frames: int, height: int, width: int) -> Tensor:
    """The mask for `composite`: the given mask, or the whole picture, in a range of frames with ramps.

    Args:
        mask: `f h w` or, for all frames, `1 h w`; None for the whole picture.
        config: its frames and ramp are used here; the feather is for `composite`.
        height, width: size of the clip, in pixels.

    Returns:
        `f h w`, float32.

    Raises:
        ConfigError: the clip does not have these frames, or nothing is left to edit.
        ClipError: the mask has another size, number of frames, rank or range.
    """
    mask = torch.ones(1, height, width, dtype=torch.float32, device="cpu") if mask is None else mask
    check_mask(mask, num_frames=num_frames, height=height, width=width)
    last = num_frames - 1 if config.last_frame == -1 else config.last_frame
    times = frame_ramp(num_frames, config.first_frame, last, config.ramp).to(mask.device)
    combined = mask.float() * rearrange(times, "f -> f 1 1")
    if not combined.any():
        raise ConfigError(
            got="a mask that is 0 everywhere in the frames to edit",
            expected="1 where the clip is to be edited, 0 elsewhere",
            mend="Paint the part that should change, or invert the mask.",
        )
    return combined


def frame_ramp(num_frames: int, first: int, last: int, ramp: int) -> Tensor:
    """How much each frame is edited, `f` in [0, 1]: 0 outside `first` to `last`, both included.

    Inside the range, it rises over `ramp` frames and falls likewise, but not where the clip itself begins or ends.

    Raises:
        ConfigError: the clip does not have these frames, or the ramp is below 0.
    """
    if not 0 <= first <= last < num_frames or ramp < 0:
        raise ConfigError(
            got=f"frames {first} to {last} with a ramp of {ramp}, in a clip of {num_frames}",
            expected=f"a first and a last frame from 0 to {num_frames - 1}, in this order, and a ramp of 0 or more",
            mend="Frames are counted from 0 in the clip as it was loaded, after start and stride.",
        )
    frames = torch.arange(num_frames, dtype=torch.float32, device="cpu")
    rise = (frames - first + 1) / (ramp + 1) if first else torch.ones_like(frames)
    fall = (last - frames + 1) / (ramp + 1) if last < num_frames - 1 else torch.ones_like(frames)
    inside = (frames >= first) & (frames <= last)
    return torch.minimum(rise, fall).clamp(0, 1) * inside


def feather_mask(mask: Tensor, feather: int) -> Tensor:
    """A mask `f h w` with a soft edge outside: unchanged inside, falling evenly to 0 over `feather` pixels.

    The mask is dilated by half the feather, then box-blurred over the other half.

    Raises:
        ConfigError: the feather is out of the range that `LocalEditConfig` gives.
    """
    LocalEditConfig(feather=feather)
    return torch.cat([soften(part, feather) for part in cancellable(mask.split(FRAMES_AT_ONCE))])


def soften(mask: Tensor, feather: int) -> Tensor:
    """`feather_mask` on a few frames."""
    reach = feather // 2
    grown = pool(mask, feather - reach, max_pool2d)
    # count_include_pad=False ignores what is outside the picture, instead of counting it as not masked.
    soft = pool(grown, reach, partial(avg_pool2d, count_include_pad=False))
    return torch.maximum(soft, mask)


def pool(mask: Tensor, reach: int, kind: Callable[..., Tensor]) -> Tensor:
    """Pools `f h w` over squares that reach `reach` pixels to each side, in two passes, which cost less than one."""
    side = 2 * reach + 1
    lines = kind(rearrange(mask, "f h w -> f 1 h w"), (side, 1), 1, (reach, 0))
    return rearrange(kind(lines, (1, side), 1, (0, reach)), "f 1 h w -> f h w")


def latent_mask(mask: Tensor, feather: int) -> Tensor:
    """A mask `f h w` in pixels at the latents' size, `f h/8 w/8`.

    A cell that the mask touches counts fully, so that no part of the mask stays as in the source. Cells in the soft
    edge count by their mean.
    """
    cells, step = "f (h y) (w x) -> f h w", {"y": VAE_FACTOR, "x": VAE_FACTOR}
    touched = reduce(mask, cells, "max", **step)
    return torch.maximum(touched, reduce(feather_mask(mask, feather), cells, "mean", **step))


def keep_outside(start: Trajectory | Tensor, mask: Tensor, *, feather: int = LocalEditConfig().feather) -> Correct:
    """The argument `correct` for `edit`: after each step, it resets the latents outside a mask to the inversion's.

        z <- M z + (1 - M) z_inv(t)

    Args:
        start: the trajectory that the edit starts from, with all its latents; on any device.
        mask: `f h w` or `1 h w` in [0, 1], in the clip's size, without the range of frames of `edit_mask`.
        feather: in pixels, as for `composite`.

    Raises:
        ConfigError: the start is noise, or a trajectory that holds only its ends; or the feather is out of its range.
        ClipError: the mask has another size, number of frames, rank or range.
    """
    latents = all_latents(start)
    _, _, _, num_frames, height, width = latents.shape
    check_mask(mask, num_frames=num_frames, height=height * VAE_FACTOR, width=width * VAE_FACTOR)
    weights = rearrange(latent_mask(mask.float(), feather), "f h w -> 1 1 f h w")
    return KeepOutside(latents=latents, weights=weights, mask=mask)


@dataclass(frozen=True, kw_only=True, eq=False)
class KeepOutside:
    """What `keep_outside` gives.

    Args:
        latents: of the inversion, `s b c f h w`.
        weights: how much of the edit stays, `1 1 f h w` in [0, 1].
        mask: `f h w` or `1 h w` in pixels.
    """

    latents: Tensor
    weights: Tensor
    mask: Tensor

    @cached_property
    def moves(self) -> Moves:
        """How new noise moves along with the mask."""
        return mask_moves(self.mask)

    @property
    def num_steps(self) -> int:
        """The steps of the inversion, as many as sampling must have."""
        return len(self.latents) - 1

    def __call__(self, edited: Tensor, steps_left: int) -> Tensor:
        return torch.lerp(self.latents[steps_left].to(edited), edited, self.weights.to(edited))


def all_latents(start: Trajectory | Tensor) -> Tensor:
    """The latents of a trajectory, `s b c f h w`; checks that it holds every step."""
    if not isinstance(start, Trajectory):
        raise ConfigError(
            got="a mask for a start of noise",
            expected="the trajectory of an inversion, from which the rest is restored",
            mend="Invert the clip and start from its trajectory, or leave the mask out.",
        )
    check_all_kept(start, ConfigError)
    return start.latents


def composite(source: Tensor, edited: Tensor, mask: Tensor, *, feather: int = LocalEditConfig().feather) -> Tensor:
    """Puts the edited frames inside a mask; outside the mask and its soft edge, the source stays bit for bit.

    Args:
        source, edited: `f h w c` in [0, 1], of the same shape.
        mask: the result of `edit_mask`, `f h w` or `1 h w`.
        feather: in pixels, as for `keep_outside`.

    Returns:
        `f h w c`, on the source's device.

    Raises:
        ClipError: the shapes of the frames differ, or the mask has another size, number of frames, rank or range.
        ConfigError: the feather is out of its range.
    """
    check_pair(source, edited)
    num_frames, height, width, _ = source.shape
    check_mask(mask, num_frames=num_frames, height=height, width=width)
    weights = rearrange(feather_mask(mask.float(), feather), "f h w -> f h w 1").to(source)
    # torch.lerp is exact at both ends, so that weights of 0 and 1 change no bit.
    parts = zip(
        *(x.split(FRAMES_AT_ONCE) for x in (source, edited, weights.expand(num_frames, -1, -1, -1))), strict=True
    )
    return torch.cat([torch.lerp(old, new.to(old), share) for old, new, share in cancellable(parts)])


def check_pair(source: Tensor, edited: Tensor) -> None:
    """Raises `ClipError` unless source and edited frames are finite floats `f h w c` of the same shape."""
    kinds = [f"{tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else type(x).__name__ for x in (source, edited)]
    floats = all(isinstance(x, Tensor) and x.is_floating_point() for x in (source, edited))
    if not floats or source.ndim != 4 or 0 in source.shape or source.shape != edited.shape:
        raise ClipError(
            got=f"source frames of {kinds[0]} and edited ones of {kinds[1]}",
            expected="floats f h w c, of the same shape",
            mend="Give the clip that was inverted, with the same size, start and stride; divide bytes by 255.",
        )
    for frames in (source, edited):
        check_finite_frames(frames, ClipError)
