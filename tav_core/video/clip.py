"""Clips: `read_clip` takes the frames that tuning needs from a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch

from ..cancelling import cancellable
from ..errors import ClipError, ConfigError, explain_out_of_memory
from ..paths import check_input_path
from ..settings import is_number
from .config import ClipConfig, ClipInfo
from .decode import StampsGoBackError, VideoFile
from .image_files import DEFAULT_FPS, ImageFolder, StillFile, WebPFile, is_still
from .sizes import fit_image
from .timeline import pick_frames, shorten

Source: TypeAlias = VideoFile | WebPFile | StillFile | ImageFolder
T = TypeVar("T")

RATES = (0.01, 1000)
"""Frames per second that a folder of pictures can be said to have, or a video be brought to."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoClip:
    """Frames taken from a video.

    Args:
        frames: `f h w c` float32 in [0, 1], RGB.
        fps: frames per second at which these frames play at the speed of the source: its rate over the stride.
        config: how they were read.
        source_fps: average frame rate of the source, or the rate that it was brought to.
        source_size: width and height of the source in pixels, after its rotation.
        pixel_aspect: width of a source's pixel over its height (not 1 in anamorphic video).
        source_frames: how many frames the source has.
        rotation: degrees clockwise by which the source asked to be turned (done already).
        path: where it came from.
        frames_decoded: how many frames had to be decoded for these.
        positions: which frames of the source these are, counted from 0; at a variable rate one may occur twice.
    """

    frames: torch.Tensor
    fps: float
    config: ClipConfig
    source_fps: float
    source_size: tuple[int, int]
    source_frames: int
    rotation: int
    path: Path
    frames_decoded: int
    positions: tuple[int, ...] = ()
    pixel_aspect: float = 1.0

    @property
    def name(self) -> str:
        """The file or folder name without its ending."""
        return self.path.stem

    @property
    def num_frames(self) -> int:
        """How many frames were taken."""
        return len(self.frames)

    def info(self, prompt: str = "") -> ClipInfo:
        """What `tune` records of this clip, with the prompt that says what it shows."""
        return ClipInfo(prompt=prompt, fps=self.fps, config=self.config)


def read_clip(
    path: str | Path,
    config: ClipConfig | None = None,
    *,
    folder_fps: float = DEFAULT_FPS,
    rate: float | None = None,
    may_be_short: bool = False,
    **settings: Any,
) -> VideoClip:
    """Reads the frames that a `ClipConfig` names and resizes them, one frame at a time.

        read_clip("ski.mp4", ClipConfig(stride=2))
        read_clip("ski.mp4", stride=2)

    The frames are those that the ffmpeg program decodes, from the track that it would choose. At a variable frame rate
    the positions are even steps in time (`Timeline.even_grid`). Interlaced frames become their first field, filled up.
    Transparency is put over white; rotation flags and non-square pixels are applied; 10- and 12-bit video becomes 8-bit
    (HDR is not tone mapped). Frames are resized with Pillow's Lanczos.

    Args:
        path: a video file of any kind that ffmpeg reads, an animated GIF or WebP, or a folder of pictures.
        config: which frames, and their size; None for the defaults.
        folder_fps: frames per second of a folder of pictures; used for folders only, which state no rate.
        rate: frames per second that the video is brought to before frames are taken, by repeating frames or leaving
            some out; None for its own. `start` and `stride` then count frames of this rate.
        may_be_short: takes what there is from a clip that is too short for `num_frames`, and does not refuse it.
        settings: fields of `ClipConfig` by name, which replace those of `config`.

    Returns:
        The clip; its `frames` are `num_frames height width 3`.

    Raises:
        ClipError: no such file, not a video, damaged, or too short (says how many frames there are and what would fit).
        ConfigError: a size that is not a multiple of 8, an unknown fit, a number out of range.
        OutOfMemory: the frames do not fit in memory.
    """
    config = replace(config or ClipConfig(), **settings)
    return take_frames(open_source(path, folder_fps), config, rate=rate, may_be_short=may_be_short)


def open_source(path: str | Path, folder_fps: float = DEFAULT_FPS) -> Source:
    """Opens what `read_clip` reads, without decoding any frame: `len(source.timeline)` is how many there are.

    Raises:
        ClipError: no such file, not a video, or damaged.
        ConfigError: a rate that no folder can have.
    """
    path = check_input_path(path, ClipError)
    if not path.exists():
        folder = path.resolve().parent
        raise ClipError(
            got=f"{path}, which does not exist",
            expected="a video file or a folder of frames",
            mend=f"Check the name; the folder {folder} {'exists' if folder.is_dir() else 'does not exist either'}.",
        )
    if path.is_dir():
        check_folder_fps(folder_fps)
        return ImageFolder(path, folder_fps)
    if _is_webp(path):
        return WebPFile(path)
    return StillFile(path) if is_still(path) else VideoFile(path)


def source_size(source: Source) -> tuple[int, int]:
    """Width and height of a source in pixels, after its rotation: those of its first frame."""

    def look() -> tuple[int, int]:
        with closing(source.images([0])) as images:
            return next(images).size

    return trusting(source, look)


def trusting(source: Source, read: Callable[[], T]) -> T:
    """What a function reads from a source; where a video's stamps go back, it reads again without them."""
    try:
        return read()
    except StampsGoBackError:
        assert isinstance(source, VideoFile)
        source.distrust_stamps()
        return read()


def take_frames(
    source: Source,
    config: ClipConfig,
    *,
    rate: float | None = None,
    may_be_short: bool = False,
    positions: Sequence[int] = (),
    size: tuple[int, int] | None = None,
    pixel_aspect: float | None = None,
) -> VideoClip:
    """Reads the frames of an opened source, see `read_clip`.

    Args:
        positions: the frames to take, `config.num_frames` of them, not decreasing, whenever they are shown; () for
            those that the config names.
        size: width and height of the frames, if these are not to be the config's.
        pixel_aspect: width of a pixel over its height, if it is not to be what the source says.
    """
    forced = None if rate is None else as_rate(rate)
    return trusting(source, lambda: _take_frames(source, config, forced, may_be_short, positions, size, pixel_aspect))


def _take_frames(
    source: Source,
    config: ClipConfig,
    rate: Fraction | None,
    may_be_short: bool,
    positions: Sequence[int],
    size: tuple[int, int] | None,
    pixel_aspect: float | None,
) -> VideoClip:
    timeline = source.timeline
    if may_be_short:
        config = shorten(timeline, config, rate=rate)
    picks = positions or pick_frames(timeline, config, name=source.path.name, rate=rate)
    width, height = size or (config.width, config.height)
    doing = f"reading {config.num_frames} frames at {width}x{height}"
    with explain_out_of_memory(doing, "Lower num_frames, width or height."):
        frames = torch.empty(config.num_frames, height, width, 3, dtype=torch.float32, device="cpu")
        for frame, image in cancellable(zip(frames, source.images(picks), strict=True)):
            fitted = fit_image(image, width, height, config.fit, pixel_aspect or source.pixel_aspect)
            frame.copy_(torch.from_numpy(np.array(fitted))).div_(255)
    counted_at = rate or timeline.rate
    return VideoClip(
        frames=frames,
        fps=float(counted_at / config.stride),
        config=config,
        source_fps=float(counted_at),
        source_size=image.size,
        source_frames=len(timeline),
        rotation=source.rotation,
        path=source.path,
        frames_decoded=source.frames_decoded,
        positions=tuple(picks),
        pixel_aspect=pixel_aspect or source.pixel_aspect,
    )


def check_folder_fps(fps: float) -> None:
    """Raises `ConfigError` unless `fps` is a possible frame rate for a folder of pictures."""
    _check_rate(fps, "folder_fps")


def as_rate(rate: float) -> Fraction:
    """A frame rate as a fraction, 23.976 as 24000/1001.

    Raises:
        ConfigError: it is not a possible frame rate.
    """
    _check_rate(rate, "rate")
    exact = Fraction(rate)
    simple = (Fraction(round(exact * 1001 / 1000) * 1000, 1001), exact.limit_denominator(1001))
    return next((near for near in simple if near > 0 and abs(near - exact) < exact / 50_000), exact)


def _check_rate(fps: float, name: str) -> None:
    low, high = RATES
    if not is_number(fps) or not low <= fps <= high:
        raise ConfigError(
            got=f"{name} {fps!r}", expected=f"a number from {low} to {high}", mend="Set it to 8, for example."
        )


def _is_webp(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise ClipError(
            got=f"{error.strerror} for {path}", expected="a file that can be read", mend="Check its permissions."
        ) from error
    if not head:
        raise ClipError(
            got=f"{path}, which is empty (0 bytes)", expected="a video file", mend="Copy or download it again."
        )
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"
