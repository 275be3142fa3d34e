"""The options of a local edit: `python -m tav_core edit --mask ... --frames ... --source ...`."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ..errors import ClipError, ConfigError
from ..layouts import VAE_FACTOR
from ..models.latents import encode_frames
from ..sampling.config import LocalEditConfig
from ..sampling.local_edit import composite, edit_mask, keep_outside
from ..sampling.trajectory import Trajectory
from ..video.clip import VideoClip, read_clip
from ..video.mask import read_mask
from .options.settings import read_clip_config

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from ..sampling.samplers import Correct
    from .options.settings import ReadAs

# Latents of the same clip differ by less than this between devices and precisions; those of two clips differ by more.
SAME_CLIP = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalEdit:
    """A local edit, ready to run.

    Args:
        correct: the correction for `edit`; None without a mask: all frames are then edited, and some are replaced.
        source: the clip that was inverted.
        mask: where to edit, `f h w`.
        feather: width of the mask's soft edge, in pixels.
    """

    correct: Correct | None
    source: VideoClip
    mask: Tensor
    feather: int

    def finish(self, frames: Tensor) -> Tensor:
        """Edited frames `f h w c`, with the source outside the mask."""
        return composite(self.source.frames, frames, self.mask, feather=self.feather)


def load_local_edit(
    args: argparse.Namespace, read_as: ReadAs, start: Trajectory | Tensor, vae: AutoencoderKL
) -> LocalEdit | None:
    """Reads the mask and the source; returns None if no local edit is asked for.

    Raises:
        ConfigError: the options do not go together, or the clip does not have these frames.
        ClipError: the source is not the clip that was inverted, or the mask does not fit it.
    """
    if args.mask is None and args.frames is None:
        if args.source is not None and not args.local_prompt:
            raise ConfigError(
                got="--source without --mask, --frames or --local-prompt",
                expected="a mask, a range of frames, or a prompt for a part of the picture",
                mend="Leave --source out to edit the whole clip.",
            )
        return None
    if args.blend:
        raise ConfigError(
            got="--mask or --frames with --blend",
            expected="the inversion of one clip, which is restored outside",
            mend="Leave --blend out, or edit the whole clip.",
        )
    if args.speed != 1:
        raise ConfigError(
            got="--mask or --frames with --speed",
            expected="the inversion of the clip as it is, whose frames are restored outside",
            mend="Leave --speed out, or edit the whole clip.",
        )
    if not isinstance(start, Trajectory):
        raise ConfigError(
            got="--mask or --frames without --trajectory",
            expected="the inversion of the clip, which is restored outside",
            mend="Run invert and give the file that it writes.",
        )
    first, last = parse_frames(args.frames or ":")
    config = LocalEditConfig(feather=args.feather, first_frame=first, last_frame=last, ramp=args.ramp)
    clip = load_source(args, read_as, start.latents[0], vae)
    mask = None if args.mask is None else read_mask(args.mask, clip)
    num_frames, height, width, _ = clip.frames.shape
    whole = edit_mask(mask, config, num_frames=num_frames, height=height, width=width)
    correct = None if mask is None else keep_outside(start, mask, feather=config.feather)
    return LocalEdit(correct=correct, source=clip, mask=whole, feather=config.feather)


def parse_frames(text: str) -> tuple[int, int]:
    """The first and the last frame in "4:12"; either may be left out.

    Raises:
        ConfigError: the text has another form.
    """
    found = re.fullmatch(r"(\d*):(\d*)", text)
    if not found:
        raise ConfigError(
            got=f"--frames {text!r}",
            expected="the first and the last frame to edit, as in 4:12, :12 or 4:",
            mend="Count frames from 0 in the clip as it was inverted; the first and the last are edited too.",
        )
    return int(found[1] or 0), int(found[2] or -1)


def load_source(args: argparse.Namespace, read_as: ReadAs, latents: Tensor, vae: AutoencoderKL) -> VideoClip:
    """Reads the clip that was inverted and checks it against the inverted latents `1 c f h w`."""
    if args.source is None:
        raise ConfigError(
            got="a local edit or a local prompt without --source",
            expected="the clip that was inverted, for which the masks are, and which is restored outside",
            mend="Add --source with the clip, and the --start, --stride and --fit that you gave to invert.",
        )
    num_frames, height, width = latents.shape[2:]
    size = {"num_frames": num_frames, "width": width * VAE_FACTOR, "height": height * VAE_FACTOR}
    clip = read_clip(args.source, read_clip_config(args, read_as, **size))
    ends = encode_frames(vae, clip.frames[[0, -1]]).mean
    inverted = latents[:, :, [0, -1]].to(ends)
    error = float((ends - inverted).norm() / inverted.norm())
    if not error < SAME_CLIP:
        picks = f"from frame {clip.config.start} with stride {clip.config.stride}"
        raise ClipError(
            got=f"{clip.path.name} {picks}, {error:.0%} off the trajectory",
            expected="the frames that were inverted",
            mend="Give the clip, --start, --stride and --fit that you gave to invert.",
        )
    return clip
