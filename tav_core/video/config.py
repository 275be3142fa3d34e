"""How a clip is read, what a motion file records of it, and how an object and the camera are moved: the one source of
defaults and bounds. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ConfigError
from ..settings import check_settings, is_number, is_whole, setting

# By these endings, files of a folder are taken for videos; a file that is named itself is looked into.
VIDEO_ENDINGS = (
    *(".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif"),
    *(".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".ogv", ".3gp"),
)
FITS = ("crop", "pad", "stretch")
BEGINS = ("object", "path")
SIZE_STEP = 8
"""Every Stable Diffusion VAE halves the size three times, so a side must be a multiple of 2**3."""


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Which frames of a video make the clip, and their size. The rule, 24 frames and 512x512 are from the original.

    The frames are `range(start, total, stride)[:num_frames]`.

    Raises:
        ConfigError: a setting is out of its range; the first such setting is named.
    """

    start: int = setting(0, "First frame to take, counted from 0.", low=0)
    stride: int = setting(
        1, "Step between the frames taken: 2 takes every other frame, and so spans twice the time.", low=1
    )
    num_frames: int = setting(
        24, "How many frames to take; 8 to 32 is usual. More frames take more memory and time to tune.", low=1
    )
    width: int = setting(512, "Width in pixels, a multiple of 8.", low=SIZE_STEP)
    height: int = setting(512, "Height in pixels, a multiple of 8.", low=SIZE_STEP)
    fit: str = setting(
        "crop",
        "What to do if the aspect ratio differs: crop cuts off the edges, pad adds black bars, stretch distorts the "
        "picture.",
        choices=FITS,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        check_size(self.width, self.height)


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What `tune` records of a clip besides what its latents show. It does not affect the tuning.

    Args:
        prompt: what the clip shows; the text that the context was encoded from.
        fps: frames per second at which its frames play at the speed of the source; 0 if unknown.
        config: how it was read; None if unknown.

    Raises:
        ConfigError: the prompt is not a text, or a motion file cannot hold the rate.
    """

    prompt: str = ""
    fps: float = 0.0
    config: ClipConfig | None = None

    def __post_init__(self) -> None:
        fits = {
            "prompt": isinstance(self.prompt, str),
            # A motion file holds rates below this.
            "fps": is_number(self.fps) and 0 <= self.fps < 1e6,
            "config": isinstance(self.config, ClipConfig | None),
        }
        for name in (name for name, fit in fits.items() if not fit):
            raise ConfigError(
                got=f"{name} {getattr(self, name)!r} of a clip",
                expected="a text as prompt, 0 or more as fps, a ClipConfig or None as config",
                mend="Use the value that read_clip's clip gives: clip.info(prompt).",
            )


def check_size(width: int, height: int) -> None:
    """Raises `ConfigError` unless width and height, in pixels, are positive multiples of 8."""
    for side, pixels in (("width", width), ("height", height)):
        if is_whole(pixels) and pixels > 0 and pixels % SIZE_STEP == 0:
            continue
        near = pixels if is_number(pixels) and math.isfinite(pixels) else 0
        below = int(max(near, 0) // SIZE_STEP) * SIZE_STEP
        nearest = f"{below} or {below + SIZE_STEP}" if below else f"{SIZE_STEP}"
        raise ConfigError(
            got=f"{side} {pixels!r}",
            expected=f"a multiple of {SIZE_STEP} pixels",
            mend=f"Set {side} to {nearest}.",
        )


@dataclass(frozen=True, kw_only=True)
class AnimateConfig:
    """How an object is cut from its picture and moved. All defaults are our choice.

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    num_frames: int = setting(
        16, "Frames that are made of one picture; a clip keeps the number that it has.", low=2, high=1024
    )
    still: bool = setting(False, "Take the first frame of a clip alone, as a picture.")
    scale: float = setting(
        1.0,
        "How far the object goes, times the path, or without a path times its own motion: 0.5 goes half as far.",
        low=-10,
        high=10,
    )
    begin: str = setting(
        "object",
        "Where the path begins: object follows it from where it is; path moves the object's centre to the first point.",
        choices=BEGINS,
    )
    margin: int = setting(
        3,
        "Pixels around the mask that are filled too, so that nothing of the object's edge stays behind.",
        low=0,
        high=64,
    )
    feather: int = setting(1, "Pixels to both sides of the mask's edge over which the object fades.", low=0, high=64)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """How the camera moves from the first frame to the last, where what is moved is given in full, so that it does not
    depend on the size and number of frames. What the camera looks at moves the other way on the screen.

    Raises:
        ConfigError: names the first setting that is out of its range.
    """

    pan_x: float = setting(0.0, "Frame widths that the camera moves to the right; negative moves left.", low=-4, high=4)
    pan_y: float = setting(0.0, "Frame heights that the camera moves down; negative moves up.", low=-4, high=4)
    zoom: float = setting(
        1.0,
        "How many times nearer the camera is at the end: above 1 comes nearer, below 1 goes back.",
        low=0.1,
        high=10,
    )
    turn: float = setting(0.0, "Degrees that the camera turns, clockwise.", low=-360, high=360)
    own_scale: float = setting(
        1.0,
        "How far the clip's own camera goes, times its own motion: 0 holds it still, 1 leaves it as it is.",
        low=-10,
        high=10,
    )
    follows: bool = setting(
        False, "Move the place alone: the object keeps to its path on the screen, as if the camera followed it."
    )

    def __post_init__(self) -> None:
        check_settings(self)
