"""Saves frames as a video (.mp4), an animated image (.gif, .webp) or a folder of PNGs, complete or not at all."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch

from ..atomic_files import check_output, whole_file
from ..errors import ConfigError, OutputError, explain_write_failure
from ..paths import check_output_path
from ..settings import is_number
from .encode import EachFrame, write_folder, write_gif, write_mp4, write_webp
from .sizes import check_frames
from .watermark import Marker, check_size

FASTEST = {".mp4": 1000, ".webp": 90, ".gif": 50, "": 1000}
"""The highest frame rate per file ending: browsers slow down GIF frames under 20 ms and WebP frames under 11 ms."""


def write_video(
    path: str | Path,
    frames: torch.Tensor | np.ndarray,
    *,
    fps: float | Fraction,
    comment: str = "",
    watermark: str = "",
) -> Path:
    """Saves frames under a temporary name beside `path`, then moves them into place; a failure leaves nothing behind.

    Args:
        path: its ending decides the format. `.mp4`: H.264 with yuv420p, CRF 17, BT.709, which browsers play; an odd
            width or height grows by one repeated pixel, because yuv420p needs even sides. `.gif`: one palette for the
            whole clip. `.webp`: animated, quality 90. No ending, or a `/` at the end: a folder of 00000.png, 00001.png,
            ... Missing parent folders are made. An existing file, or folder of such PNGs, is replaced.
        frames: `f h w 3` RGB, torch or numpy, float in [0, 1] (clamped) or uint8.
        fps: frames per second, may be a fraction; at most 50 for .gif and 90 for .webp. A folder does not store it.
        comment: how the video was made, for whoever finds the file: kept in the file, in each PNG of a folder.
        watermark: a short text to hide in every frame, see watermark.py; "" for none. Not in .gif and .webp, whose
            coarse colours destroy it.

    Returns:
        The path written.

    Raises:
        ConfigError: an unknown ending, or a rate that the format cannot hold; or a watermark that cannot be written.
        InputError: the frames have another shape or number type, or hold values that are not finite.
        OutputError: there is no space or no permission, or the folder holds other files.
    """
    target, ending, rate = check_video(path, fps=fps)
    checked = check_frames(frames, channels=3)
    marker = find_marker(watermark, ending)
    if marker:
        check_size(*checked.shape[1:3])
    pixels = EachFrame(checked, marker)
    write = {".mp4": write_mp4, ".gif": write_gif, ".webp": write_webp, "": write_folder}[ending]
    with whole_file(target) as temporary, _explained(target):
        # A text from the command line may hold bytes that are no UTF-8.
        write(temporary, pixels, rate, comment.encode("utf-8", "replace").decode())
    return target


def find_marker(watermark: str, ending: str) -> Marker | None:
    """What puts a watermark into the frames of a format; None for none.

    Raises:
        ConfigError: the text, the format, or a missing package.
    """
    if watermark and ending in (".gif", ".webp"):
        raise ConfigError(
            got=f"a watermark in a {ending}",
            expected=".mp4, or a folder of PNGs: the colours of other formats are too coarse for it",
            mend="Save as .mp4.",
        )
    return Marker(watermark) if watermark else None


class Target(NamedTuple):
    """Where a video goes and how: its path, the ending that decides the format, and its frames per second."""

    path: Path
    ending: str
    rate: Fraction


def check_video(path: str | Path, *, fps: float | Fraction) -> Target:
    """Checks all that can be known of a video before its frames are there, so that none is rendered in vain.

    Raises:
        ConfigError, OutputError: see `write_video`.
    """
    target = check_output_path(path)
    ending = "" if str(path).endswith(("/", os.sep)) else target.suffix.lower()
    if ending not in FASTEST:
        raise ConfigError(
            got=f"the ending {ending} of {target}",
            expected=".mp4, .gif, .webp, or no ending for a folder of PNGs",
            mend="Change the ending, or end the path with / for a folder.",
        )
    rate = _check_rate(fps, ending)
    check_output(target, folder=not ending)
    if not ending:
        with explain_write_failure(target):
            _check_replaceable(target)
    return Target(target, ending, rate)


def _check_rate(fps: float | Fraction, ending: str) -> Fraction:
    """The frame rate that a file with this ending will have.

    Raises:
        ConfigError: `fps` is not a number, or the format cannot hold it.
    """
    fastest = FASTEST[ending]
    # NTSC rates are n * 1000 / 1001.
    known = is_number(fps) and math.isfinite(fps)
    rate = Fraction(fps).limit_denominator(1001) if known else Fraction(0)
    if 0 < rate <= fastest:
        return rate
    raise ConfigError(
        got=f"{f'{float(fps):g}' if known else repr(fps)} frames per second for {ending or 'a folder'}",
        expected=f"more than 0 and at most {fastest}",
        mend="Save as .mp4, or use a lower fps." if rate > fastest else "Use the fps of the clip.",
    )


def _check_replaceable(target: Path) -> None:
    held = [item.name for item in target.iterdir()] if target.is_dir() else []
    others = sorted(name for name in held if not re.fullmatch(r"\d{5,}\.png", name))
    if others:
        raise OutputError(
            got=f"the folder {target}, which holds {others[0]}",
            expected="a new folder, or one that contains only numbered PNGs",
            mend="Choose another folder; nothing was overwritten.",
        )


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    """Turns an encoder's refusal (not a failure of the disk) into `OutputError`."""
    try:
        yield
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OutputError(
            got=f"{error.strerror} from the encoder of {target}",
            expected="frames of a size and rate that the format can hold",
            mend="Lower the size or the rate, or save as a folder of PNGs.",
        ) from error
