"""The options of `generate` and `instruct`; the defaults and help texts of settings come from their dataclasses."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...models.attention_modes import MODES
from ...sampling.zero_shot.config import ZeroShotConfig
from ...sampling.zero_shot.instruct_config import InstructConfig
from .groups import add_clip, add_control, add_lora, add_model, add_motion, add_output
from .settings import add_settings, take_negative_points

FPS = 8.0


def add_generate(parser: argparse.ArgumentParser) -> None:
    """The options of a video from text."""
    take_negative_points(parser)
    add_model(parser)
    add_lora(parser)
    parser.add_argument("--prompt", action="append", required=True, help="what to show; may be given several times")
    parser.add_argument("--negative", default="", help="what the video should not show")
    add_motion(parser, required=False)
    parser.add_argument(
        "--attention", choices=MODES, default="first", help="which frames a frame attends to (default: first)"
    )
    add_camera(parser)
    add_settings(parser, ZeroShotConfig)
    parser.add_argument("--foreground", type=Path, help="mask video of what moves by itself: smooths what is behind it")
    add_control(parser)
    add_output(parser, fps=f"the clip's, or {FPS:g}")


def add_camera(parser: argparse.ArgumentParser) -> None:
    """The options of a motion field. Without any, each frame starts from noise of its own."""
    camera = parser.add_argument_group("camera", "how it moves; what it looks at moves the other way on the screen")
    camera.add_argument(
        "--move", type=float, nargs=2, metavar=("X", "Y"), help="pixels per frame, to the right and down, such as 12 12"
    )
    camera.add_argument("--zoom", type=float, help="factor per frame; 1.02 comes nearer")
    camera.add_argument("--turn", type=float, help="degrees per frame, clockwise")
    camera.add_argument(
        "--path", nargs="+", metavar="X,Y", help="points in pixels that it passes, from the first frame to the last"
    )


def add_instruct(parser: argparse.ArgumentParser) -> None:
    """The options of an edit by an instruction."""
    add_model(parser)
    add_lora(parser)
    add_clip(parser, tuned=False)
    parser.add_argument(
        "--instruction", dest="prompt", action="append", required=True, help='what to do, such as "make it snow"'
    )
    parser.add_argument("--negative", default="", help="what the video should not show")
    parser.add_argument(
        "--attention", choices=MODES, default="first", help="which frames a frame attends to (default: first)"
    )
    add_settings(parser, InstructConfig)
    add_output(parser, fps=f"the clip's, or {FPS:g}")
