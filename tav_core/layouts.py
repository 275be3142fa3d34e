"""How tensors are laid out, and the checks on them. The words are used in every module:

frames    f h w c      float in [0, 1]
latents   b c f h w    scaled by the VAE's factor
folded    (b f) c h w  what a 2-D network sees: every frame an image of its own
tokens    (b f) n d    what a transformer block sees: n = h w of its level

b  videos in the batch      f  frames      h w  height and width      c d  channels      n  tokens of a frame
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from .errors import LatentsError

# Every VAE of Stable Diffusion 1.x and 2.x halves height and width three times.
VAE_FACTOR = 8

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
        LatentsError: another rank, no frames, or another number of channels.
    """
    shape = tuple(latents.shape)
    if latents.ndim != 5 or 0 in shape:
        raise LatentsError(
            got=f"latents of shape {shape}",
            expected="five axes, b c f h w, none of them empty",
            mend="Add the missing axis: one video is latents[None], one image is latents[:, :, None].",
        )
    if channels is not None and shape[1] != channels:
        raise LatentsError(
            got=f"latents with {shape[1]} channels, shape {shape}",
            expected=f"{channels} channels in axis 1 of b c f h w",
            mend="Check the order of the axes: frames come after channels.",
        )


def check_num_frames(latents: Tensor, num_frames: int) -> None:
    """Checks that latents `b c f h w` hold `num_frames` frames.

    Raises:
        LatentsError: they hold another number.
    """
    if latents.shape[2] != num_frames:
        raise LatentsError(
            got=f"{num_frames} frames for an inversion of {latents.shape[2]} frames",
            expected="the same number of frames in the clip, the inversion and the edit",
            mend=f"Use {latents.shape[2]} frames, or invert the clip again with {num_frames}.",
        )
