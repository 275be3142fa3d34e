"""Masks from files: one picture, or a video or folder of pictures with one mask per frame; white is 1."""

from __future__ import annotations

from pathlib import Path

from einops import reduce
from torch import Tensor

from ..errors import ClipError
from .clip import VideoClip, read_clip

# Video compression adds noise to black and white, but the mask must be exactly 0 outside.
NOISE = 0.05


def read_mask(path: str | Path, clip: VideoClip, *, fit: str = "crop") -> Tensor:
    """Reads the mask of a clip, resized in the same way as the clip.

    Args:
        path: one picture for all frames; or one mask per frame of the clip; or one mask per frame of the clip's source,
            from which the masks of the clip's frames are taken.
        clip: the clip that the mask is for.
        fit: how the clip got its size, see `read_clip`.

    Returns:
        `f h w` or `1 h w` in [0, 1]: the mean of the channels. Values within 5 % of black or white become 0 or 1.

    Raises:
        ClipError: the file cannot be read, or its number of frames does not fit.
    """
    height, width = clip.frames.shape[1:3]
    size = {"width": width, "height": height, "fit": fit}
    first = read_clip(path, num_frames=1, **size)
    if first.source_frames == 1:
        return to_mask(first.frames)
    if first.source_frames not in (clip.num_frames, clip.source_frames):
        raise ClipError(
            got=f"{first.source_frames} frames in the mask {first.path.name}",
            expected=f"1, or {clip.num_frames} as in the clip, or {clip.source_frames} as in {clip.path.name}",
            mend="Make the mask from the frames of the clip.",
        )
    whole = first.source_frames == clip.source_frames
    picks = {"start": clip.start, "stride": clip.stride} if whole else {}
    return to_mask(read_clip(path, num_frames=clip.num_frames, **picks, **size).frames)


def to_mask(frames: Tensor) -> Tensor:
    """Turns frames `f h w c` in [0, 1] into a mask `f h w`."""
    grey = reduce(frames, "f h w c -> f h w", "mean")
    return ((grey - NOISE) / (1 - 2 * NOISE)).clamp(0, 1)
