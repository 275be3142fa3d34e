"""Masks from files: a picture, or a video or folder of pictures with a mask for each frame; white is 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from einops import reduce
from torch import Tensor

from ..errors import ClipError
from .clip import VideoClip, open_source, take_frames

# Video compression leaves noise on black and white, and what is outside must be exactly 0.
NOISE = 0.05


def read_mask(path: str | Path, clip: VideoClip) -> Tensor:
    """Reads the mask of a clip, brought to its size in the same way.

    Args:
        path: one picture for all frames; or a mask for each frame that was taken from the clip's source; or one for
            each frame of the source, of which the same are taken.
        clip: the clip it is for.

    Returns:
        `f h w` or `1 h w` in [0, 1]: the mean of the channels. Levels less than 5 % from black or white become these.

    Raises:
        ClipError: a file that cannot be read, or another number of frames.
    """
    source = open_source(path)
    total = len(source.timeline)
    if total not in (1, clip.num_frames, clip.source_frames):
        raise ClipError(
            got=f"{total} frames in the mask {source.path.name}",
            expected=f"1, or {clip.num_frames} as are edited, or {clip.source_frames} as {clip.path.name} has",
            mend="Make the mask from the frames of the clip.",
        )
    # A mask for each frame of the source is read as the clip was; any other from its first frame to its last.
    as_clip, whole = clip.config, replace(clip.config, start=0, stride=1, num_frames=total)
    return to_mask(take_frames(source, as_clip if total == clip.source_frames else whole).frames)


def to_mask(frames: Tensor) -> Tensor:
    """Frames `f h w c` in [0, 1] as a mask `f h w`."""
    grey = reduce(frames, "f h w c -> f h w", "mean")
    return ((grey - NOISE) / (1 - 2 * NOISE)).clamp(0, 1)
