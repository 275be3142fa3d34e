"""The options of `animate`, and those of an edit that starts from an animation."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...sampling.config import AnimationConfig
from ...video.config import AnimateConfig, CameraConfig
from .settings import add_clip_settings, add_settings, take_negative_points


def add_animate(parser: argparse.ArgumentParser) -> None:
    """The options of a crude animation."""
    take_negative_points(parser)
    parser.add_argument(
        "--clip", type=Path, required=True, help="a picture, or a video, GIF, WebP or folder of pictures"
    )
    made = AnimateConfig().num_frames
    parser.add_argument(
        "--num-frames",
        type=int,
        help=f"frames to make of a picture (default: {made}), or to take of a clip (default: all)",
    )
    for side in ("width", "height"):
        parser.add_argument(f"--{side}", type=int, help=f"{side} to read it at, a multiple of 8 (default: its own)")
    add_clip_settings(parser, "start", "stride", "fit", tuned=False)
    parser.add_argument("--mask", type=Path, help="the object, in white: a picture, or a video with a mask per frame")
    parser.add_argument(
        "--path",
        nargs="+",
        default=[],
        metavar="X,Y",
        help="points that the object passes, in fractions of the frame, such as 0.2,0.5 0.8,0.5; without them it keeps "
        "its own motion, times --scale",
    )
    add_settings(parser, AnimateConfig, leave_out=("num_frames",))
    add_settings(parser.add_argument_group("camera"), CameraConfig)
    parser.add_argument("--fps", type=float, help="frame rate of the animation (default: the clip's, 8 for a picture)")
    parser.add_argument("--out", required=True, help="the animation: .mp4, .gif, .webp, or a folder of PNGs")
    parser.add_argument("--out-mask", help="also write where the object is, for --animation-mask of edit")


def add_animation(parser: argparse.ArgumentParser) -> None:
    """The options of an edit that starts from an animation."""
    group = parser.add_argument_group("animation", "start from a crude animation, in place of a trajectory")
    group.add_argument("--animation", type=Path, help="what animate wrote; no --motion is needed then")
    group.add_argument("--animation-mask", type=Path, help="where its object is, as animate wrote it, to hold it there")
    add_settings(group, AnimationConfig, prefix="animation-")
