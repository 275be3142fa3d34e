"""Clips: `read_clip` takes the frames that tuning needs from a video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import ClipError, ConfigError, explain_out_of_memory
from ..paths import check_input_path
from ..settings import is_number
from .decode import VideoFile
from .image_files import DEFAULT_FPS, ImageFolder, WebPFile
from .sizes import check_fit, check_size, fit_image
from .timeline import pick_frames

FOLDER_RATES = (0.01, 1000)
"""Frames per second that a folder of pictures can be said to have."""


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoClip:
    """Frames taken from a video.

    Args:
        frames: `f h w c` float32 in [0, 1], RGB.
        fps: frames per second at which these frames play at the speed of the source: its rate over the stride.
        source_fps: average frame rate of the source.
        source_size: width and height of the source in pixels, after its rotation.
        source_frames: how many frames the source has.
        rotation: degrees clockwise by which the source asked to be turned (done already).
        path: where it came from.
        start: first frame taken, counted from 0.
        stride: step between frames taken.
        fit: how they got their size.
        frames_decoded: how many frames had to be decoded for these.
    """

    frames: torch.Tensor
    fps: float
    source_fps: float
    source_size: tuple[int, int]
    source_frames: int
    rotation: int
    path: Path
    start: int
    stride: int
    fit: str
    frames_decoded: int

    @property
    def name(self) -> str:
        """The file or folder name without its ending."""
        return self.path.stem

    @property
    def num_frames(self) -> int:
        """How many frames were taken."""
        return len(self.frames)


def read_clip(
    path: str | Path,
    *,
    start: int = 0,
    stride: int = 1,
    num_frames: int = 24,
    width: int = 512,
    height: int = 512,
    fit: str = "crop",
    folder_fps: float = DEFAULT_FPS,
) -> VideoClip:
    """Reads frames `range(start, total, stride)[:num_frames]` of a video and resizes them, one frame at a time.

    The rule, 24 frames and 512x512 are those of the original. At a variable frame rate the positions are even steps in
    time (`Timeline.even_grid`). Transparency is put over white; rotation flags and non-square pixels are applied; 10-
    and 12-bit video becomes 8-bit (HDR is not tone mapped). Frames are resized with Pillow's Lanczos.

    Args:
        path: a video file of any kind that ffmpeg reads, an animated GIF or WebP, or a folder of pictures.
        start: first frame, counted from 0.
        stride: step between frames.
        num_frames: how many frames to take.
        width: pixels, a multiple of 8.
        height: pixels, a multiple of 8.
        fit: "crop" cuts the sides to the new aspect, "pad" adds black bars, "stretch" distorts (as the original did).
        folder_fps: frames per second of a folder of pictures, which states none; for folders alone.

    Returns:
        The clip; its `frames` are `num_frames height width 3`.

    Raises:
        ClipError: no such file, not a video, damaged, or too short (says how many frames there are and what would fit).
        ConfigError: a size that is not a multiple of 8, an unknown fit, a number out of range.
        OutOfMemory: the frames do not fit in memory.
    """
    check_size(width, height)
    check_fit(fit)
    source = _open_source(check_input_path(path, ClipError), folder_fps)
    name = source.path.name
    picks = pick_frames(source.timeline, start=start, stride=stride, num_frames=num_frames, name=name)
    doing = f"reading {num_frames} frames at {width}x{height}"
    with explain_out_of_memory(doing, "Lower num_frames, width or height."):
        frames = torch.empty(num_frames, height, width, 3)
        for frame, image in zip(frames, source.images(picks), strict=True):
            fitted = fit_image(image, width, height, fit, source.pixel_aspect)
            frame.copy_(torch.from_numpy(np.array(fitted))).div_(255)
    rate = source.timeline.rate
    return VideoClip(
        frames=frames,
        fps=float(rate / stride),
        source_fps=float(rate),
        source_size=image.size,
        source_frames=len(source.timeline),
        rotation=source.rotation,
        path=source.path,
        start=start,
        stride=stride,
        fit=fit,
        frames_decoded=source.frames_decoded,
    )


def _open_source(path: Path, folder_fps: float) -> VideoFile | WebPFile | ImageFolder:
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
    return WebPFile(path) if _is_webp(path) else VideoFile(path)


def check_folder_fps(fps: float) -> None:
    """Raises `ConfigError` unless `fps` is a possible frame rate for a folder of pictures."""
    low, high = FOLDER_RATES
    if not is_number(fps) or not low <= fps <= high:
        raise ConfigError(
            got=f"folder_fps {fps!r}", expected=f"a number from {low} to {high}", mend="Set it to 8, for example."
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
