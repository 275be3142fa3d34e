"""Reads a video at its own size and length, unless the options say otherwise."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..video.clip import VideoClip, open_source, source_size, take_frames
from ..video.config import SIZE_STEP, ClipConfig
from .options import read_clip_config


def read_whole(path: Path, args: argparse.Namespace | None = None, *, num_frames: int | None = None) -> VideoClip:
    """Reads a video, its size rounded down to multiples of 8; all frames, unless a number is given.

    Args:
        args: options of how to read it (`ClipConfig`), those that are None left to the video.
        num_frames: how many frames to take, if there are no options.
    """
    source = open_source(path)
    given = args or argparse.Namespace(num_frames=num_frames)
    width, height = (max(SIZE_STEP, side // SIZE_STEP * SIZE_STEP) for side in source_size(source))
    own = {"width": width, "height": height}
    known = {name: value for name, value in own.items() if getattr(given, name, None) is None}
    config = read_clip_config(given, None, **known)
    if given.num_frames is None:
        left = len(range(config.start, len(source.timeline), config.stride))
        config = ClipConfig(**{**vars(config), "num_frames": max(left, 1)})
    return take_frames(source, config)
