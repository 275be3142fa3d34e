"""Reads a video at its own size and length, unless the options say otherwise."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..video.clip import VideoClip, open_source, source_size, take_frames
from ..video.config import SIZE_STEP, ClipConfig
from .options.settings import read_clip_config


def read_whole(
    path: Path, args: argparse.Namespace | None = None, *, num_frames: int | None = None, exact: bool = False
) -> VideoClip:
    """Reads a video at the size that it is shown at; all frames, unless a number is given.

    Args:
        args: options of how to read it (`ClipConfig`), those that are None left to the video.
        num_frames: how many frames to take, if there are no options.
        exact: keep every pixel. Otherwise, the sides are rounded down to multiples of 8, which VAEs need.
    """
    source = open_source(path)
    given = args or argparse.Namespace(num_frames=num_frames)
    width, height = source_size(source)
    shown = {"width": round(width * source.pixel_aspect), "height": height}
    known = {name: side for name, side in shown.items() if getattr(given, name, None) is None}
    rounded = {name: max(SIZE_STEP, side // SIZE_STEP * SIZE_STEP) for name, side in known.items()}
    config = read_clip_config(given, None, **rounded)
    if given.num_frames is None:
        left = len(range(config.start, len(source.timeline), config.stride))
        config = ClipConfig(**{**vars(config), "num_frames": max(left, 1)})
    size = (known.get("width", config.width), known.get("height", config.height)) if exact else None
    return take_frames(source, config, size=size)
