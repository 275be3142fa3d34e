"""Masks from files: one picture, or a video or folder of pictures with one mask per frame; white is 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from einops import reduce
from torch import Tensor

from ..errors import ClipError
from .clip import Source, VideoClip, open_source, source_size, take_frames
from .config import ClipConfig
from .to_rgb import BLACK

# Video compression adds noise to black and white, but the mask must be exactly 0 outside.
NOISE = 0.05
# The brightest pixel of a mask is at least as bright: a soft mask has white somewhere, a label in dark red has not.
FAINTEST = 0.5
# Sides are rounded to multiples of 8 or 16 where masks are made: 832x480 for a clip of 16:9 is off by 2.5 %.
SAME_SHAPE = 1.03


@dataclass(frozen=True, kw_only=True)
class UnreadClip:
    """What is known of a clip whose frames are not read, or not made yet; the names are those of `VideoClip`."""

    path: Path
    config: ClipConfig
    source_frames: int
    source_size: tuple[int, int]
    positions: Sequence[int] = ()
    pixel_aspect: float = 1.0

    @property
    def num_frames(self) -> int:
        return self.config.num_frames


Covered: TypeAlias = VideoClip | UnreadClip


def read_mask(path: str | Path, clip: Covered, *, may_be_faint: bool = False) -> Tensor:
    """Reads the mask of a clip, resized in the same way as the clip.

    A mask has the shape of the clip's source, as it is shown or as it is stored, and is then cropped like it; or it has
    the shape of the clip itself.

    Args:
        path: one picture for all frames; or one mask per frame of the clip; or one mask per frame of the clip's source,
            from which the masks of the clip's frames are taken.
        clip: the clip that the mask is for.
        may_be_faint: takes a mask that is nowhere nearly white, too: of labels in dark colours, of which all that is
            not 0 counts, or of a small soft object.

    Returns:
        `f h w` or `1 h w` in [0, 1]: the mean of the channels, where transparent pixels are black. Values within 5 % of
        black or white become 0 or 1.

    Raises:
        ClipError: the file cannot be read, or its number of frames or its shape does not fit, or it is faint and may
            not be.
    """
    source = open_source(path)
    source.behind = BLACK
    total = len(source.timeline)
    if total not in (1, clip.num_frames, clip.source_frames):
        raise ClipError(
            got=f"{total} frames in the mask {source.path.name}",
            expected=f"1, or {clip.num_frames} as in the clip, or {clip.source_frames} as in {clip.path.name}",
            mend="Make the mask from the frames of the clip.",
        )
    # Of a mask for each frame of the source, those of the clip's frames; of any other, all. Frame by frame, and not by
    # time: at a variable rate, even steps in time are other frames in the clip than in a folder of pictures.
    pixel_aspect = find_pixel_aspect(source, clip)
    if total == clip.source_frames:
        taken = take_frames(source, clip.config, positions=clip.positions, pixel_aspect=pixel_aspect)
    else:
        config = replace(clip.config, num_frames=total)
        taken = take_frames(source, config, positions=range(total), pixel_aspect=pixel_aspect)
    mask = to_mask(taken.frames)
    if not may_be_faint:
        check_not_faint(mask, source.path)
    return mask


def read_labels(path: str | Path, clip: Covered) -> Tensor:
    """The mask of all that is not black, in {0, 1}: some data sets give each object a colour of its own."""
    return (read_mask(path, clip, may_be_faint=True) > 0).float()


def read_mask_of_size(path: str | Path, num_frames: int, width: int, height: int) -> Tensor:
    """Reads the mask of a video that is still to be made: `f h w`, or `1 h w` of one picture, in [0, 1].

    Raises:
        ClipError: as of `read_mask`.
    """
    config = ClipConfig(num_frames=num_frames, width=width, height=height)
    made = UnreadClip(
        path=Path("the video"),
        config=config,
        source_frames=num_frames,
        source_size=(width, height),
        positions=range(num_frames),
    )
    return read_mask(path, made)


def find_pixel_aspect(source: Source, clip: Covered) -> float | None:
    """The width of a mask's pixel over its height with which it lies over the clip; None if that does not matter.

    Raises:
        ClipError: the mask has the shape neither of the clip nor of its source, so that it would lie elsewhere.
    """
    width, height = source_size(source)
    if clip.config.fit == "stretch" or (width, height) == (clip.config.width, clip.config.height):
        return None
    stored = clip.source_size[0] / clip.source_size[1]
    own, shown = clip.config.width / clip.config.height, stored * clip.pixel_aspect
    # The shapes that a mask may have, each with the shape of what it lies over.
    known = ((shown, shown), (stored, shown), (own, own))
    shape = width * source.pixel_aspect / height
    off, covered = min((abs(math.log(shape / each)), whole) for each, whole in known)
    if off > math.log(SAME_SHAPE):
        raise ClipError(
            got=f"a mask of {width}x{height}, {source.path.name}",
            expected=f"the shape of {clip.path.name}, {clip.source_size[0]}x{clip.source_size[1]}, "
            f"or of the clip, {clip.config.width}x{clip.config.height}",
            mend="Make the mask from the frames of the clip or of its source.",
        )
    return covered * height / width


def check_not_faint(mask: Tensor, path: Path) -> None:
    """Raises `ClipError` for a mask that would hardly act, such as labels that are told apart by dark colours."""
    brightest = float(mask.max())
    if 0 < brightest < FAINTEST:
        raise ClipError(
            got=f"a mask that is nowhere brighter than {brightest:.0%} of white, {path.name}",
            expected="white on black; of a picture of labels or of a cut-out, the mean of its colours is taken",
            mend="Make what should count white: of DAVIS' annotations, all that is not black.",
        )


def to_mask(frames: Tensor) -> Tensor:
    """Turns frames `f h w c` in [0, 1] into a mask `f h w`."""
    grey = reduce(frames, "f h w c -> f h w", "mean")
    return ((grey - NOISE) / (1 - 2 * NOISE)).clamp(0, 1)
