"""How a clip is read, and what a motion file records of it: the one source of defaults and bounds. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ConfigError
from ..settings import check_settings, is_number, is_whole, setting

FITS = ("crop", "pad", "stretch")
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
