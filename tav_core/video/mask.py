"""Masks from files: a picture, or a video or folder of pictures with a mask for each frame; white is 1."""

from __future__ import annotations

from pathlib import Path

from einops import reduce
from torch import Tensor

from ..errors import ClipError
from .clip import VideoClip, read_clip

# Video compression leaves noise on black and white, and what is outside must be exactly 0.
NOISE = 0.05


def read_mask(path: str | Path, clip: VideoClip, *, fit: str = "crop") -> Tensor:
    """Reads the mask of a clip, brought to its size in the same way.

    Args:
        path: one picture for all frames; or a mask for each frame that was taken from the clip's source; or one for
            each frame of the source, of which the same are taken.
        clip: the clip it is for.
        fit: how the clip got its size, see `read_clip`.

    Returns:
        `f h w` or `1 h w` in [0, 1]: the mean of the channels. Levels less than 5 % from black or white become these.

    Raises:
        ClipError: a file that cannot be read, or another number of frames.
    """
    height, width = clip.frames.shape[1:3]
    size = {"width": width, "height": height, "fit": fit}
    first = read_clip(path, num_frames=1, **size)
    if first.source_frames == 1:
        return to_mask(first.frames)
    if first.source_frames not in (clip.num_frames, clip.source_frames):
        raise ClipError(
            got=f"{first.source_frames} frames in the mask {first.path.name}",
            expected=f"1, or {clip.num_frames} as are edited, or {clip.source_frames} as {clip.path.name} has",
            mend="Make the mask from the frames of the clip.",
        )
    whole = first.source_frames == clip.source_frames
    picks = {"start": clip.start, "stride": clip.stride} if whole else {}
    return to_mask(read_clip(path, num_frames=clip.num_frames, **picks, **size).frames)


def to_mask(frames: Tensor) -> Tensor:
    """Frames `f h w c` in [0, 1] as a mask `f h w`."""
    grey = reduce(frames, "f h w c -> f h w", "mean")
    return ((grey - NOISE) / (1 - 2 * NOISE)).clamp(0, 1)
