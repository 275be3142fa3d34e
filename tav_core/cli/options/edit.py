"""The options of `edit`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...sampling.config import EditConfig, InjectionConfig, LocalEditConfig
from ...sampling.presets import Preset
from .animate import add_animation
from .flow import add_flow
from .groups import add_control, add_lora, add_model, add_motion, add_output, add_windows
from .presets import add_preset
from .settings import add_clip_settings, add_setting, add_settings

STEPS = f"default: as many as the inversion had, {EditConfig().num_steps} from random noise"


def add_edit(parser: argparse.ArgumentParser) -> None:
    """The options of an edit."""
    add_model(parser)
    add_lora(parser)
    add_motion(parser, required=False)
    add_windows(parser)
    add_control(parser)
    parser.add_argument("--prompt", action="append", required=True, help="a new prompt; may be given several times")
    negative = parser.add_mutually_exclusive_group()
    negative.add_argument("--negative", default="", help="what the video should not show")
    negative.add_argument(
        "--negative-source", action="store_true", help="use the prompt of the tuned clip as the negative prompt"
    )
    add_start(parser)
    add_output(parser, fps="the source's", noted=False)
    add_preset(parser, Preset.editing)
    add_setting(parser, EditConfig, "num_steps", default=None, help=f"Sampling steps ({STEPS}).")
    add_settings(parser, EditConfig, leave_out=("num_steps",))
    add_local_edit(parser)
    add_injection(parser)
    parser.add_argument(
        "--inject-prompt", default="", help="the prompt that the clip was inverted under (default: the empty one)"
    )
    add_flow(parser)
    add_animation(parser)


def add_start(parser: argparse.ArgumentParser) -> None:
    """What the edit starts from: one or two trajectories, or random noise."""
    parser.add_argument(
        "--trajectory", type=Path, help="the file that invert wrote; without it, the edit starts from random noise"
    )
    parser.add_argument(
        "--blend", type=Path, help="a second trajectory file, written with the same settings, to blend in"
    )
    parser.add_argument(
        "--blend-weight", type=float, default=0.5, help="share of the second trajectory, 0 to 1 (default: 0.5)"
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="speed of the trajectory's motion: 0.5 is half, with nearly twice as many frames (default: 1)",
    )
    parser.add_argument(
        "--num-frames", type=int, help="frames of a random start; with --trajectory, checked against its frames"
    )
    parser.add_argument("--width", type=int, help="width of a random start (default: as tuned)")
    parser.add_argument("--height", type=int, help="height of a random start (default: as tuned)")
    parser.add_argument(
        "--free-noise", action="store_true", help="start from random noise by FreeNoise, made for context windows"
    )
    parser.add_argument("--scheduler", help="a diffusers scheduler class, for random starts (default: DDIM)")


def add_local_edit(parser: argparse.ArgumentParser) -> None:
    """The options of editing a part of the clip. The source must be read as it was read for invert."""
    local = parser.add_argument_group("local edits", "what --mask and --frames leave out is restored from the source")
    local.add_argument("--mask", type=Path, help="where to edit, in white: a picture, a video or a folder of pictures")
    local.add_argument("--frames", help="first and last frame to edit, such as 4:12; counted from 0")
    for name in ("feather", "ramp"):
        add_setting(local, LocalEditConfig, name)
    local.add_argument(
        "--local-prompt",
        nargs=2,
        action="append",
        default=[],
        metavar=("PROMPT", "MASK"),
        help="a prompt for what is white in a mask, in place of --prompt there; may be given several times, one for "
        "each object, and each costs one more prediction per step",
    )
    local.add_argument("--source", type=Path, help="the clip that was inverted")
    add_clip_settings(local, "start", "stride", "fit", of="the source")


def add_injection(parser: argparse._ActionsContainer) -> None:
    """The options of injection: `--inject`, and each setting's name after `--inject-`."""
    parser.add_argument(
        "--inject",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="keep the source's layout (Plug-and-Play); sampling takes up to 50 %% longer",
    )
    add_settings(parser, InjectionConfig, prefix="inject-")
