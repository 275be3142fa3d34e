"""The command line: `python -m tav_core COMMAND`.

The commands are tune, invert, reconstruct, edit, animate, generate, instruct, interpolate, upscale, train-video,
learn-start, tune-clips, convert, batch, study, report and info.

This module parses the options; commands.py runs the commands.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import TavError, explain_out_of_memory
from ..metrics.scores import PAIRS
from ..models.attention_modes import GROUP_NORMS, MODES, POSITIONS, TEMPORAL_BLOCKS
from ..sampling.config import METHODS, EditConfig, InvertConfig
from ..sampling.presets import Preset
from ..tuning.config import TuneConfig
from ..version import __version__
from .animate_options import add_animate, add_animation
from .batch_options import add_batch, add_study
from .flow_options import add_flow
from .lavie_options import add_convert, add_interpolate, add_lavie, add_train_video, add_upscale
from .options import (
    add_clip,
    add_clip_settings,
    add_control,
    add_early_stop,
    add_injection,
    add_inversion,
    add_local_edit,
    add_lora,
    add_model,
    add_motion,
    add_preset,
    add_provenance,
    add_setting,
    add_settings,
    add_vae,
    add_windows,
)
from .parser import Parser
from .several_clips import add_learn_start, add_tune_clips
from .signals import Ended, raise_when_ended
from .streams import lasting_streams
from .zero_shot_options import add_generate, add_instruct

STEPS = f"default: as many as the inversion had, {EditConfig().num_steps} from random noise"


def build_parser() -> Parser:
    """All commands and their options; the defaults and help texts of settings come from their dataclasses."""
    parser = Parser(prog="python -m tav_core", description="One-shot video tuning (Tune-A-Video).")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    tune = commands.add_parser("tune", help="tune a model on one clip; writes a motion file")
    add_model(tune)
    add_lora(tune)
    add_clip(tune, tuned=False)
    tune.add_argument("--prompt", required=True, help="what the clip shows")
    tune.add_argument("--out", type=Path, required=True, help="folder for motion.safetensors and the run's state")
    tune.add_argument("--attention", choices=MODES, default="sparse_causal", help="which frames a frame attends to")
    tune.add_argument(
        "--attention-k", type=int, default=2, help="how far back sparse_causal_k also attends, in frames (default: 2)"
    )
    tune.add_argument(
        "--positions", choices=POSITIONS, default="none", help="position encoding of frames in temporal attention"
    )
    tune.add_argument(
        "--temporal",
        choices=("auto", *TEMPORAL_BLOCKS),
        default="auto",
        help="the transformer blocks that get temporal attention; auto is the last of each transformer for SDXL, all "
        "for 1.x and 2.x, where that is no different (default: auto)",
    )
    tune.add_argument(
        "--group-norm",
        choices=GROUP_NORMS,
        default="frame",
        help="what group norms take their statistics over; clip is the original's (default: frame)",
    )
    tune.add_argument(
        "--start-from",
        type=Path,
        help="a motion file to go on from, also one of another clip; or lavie_interpolation.pt, for its temporal "
        "layers (default: from zero)",
    )
    tune.add_argument(
        "--told-size",
        type=int,
        default=0,
        help="side of the picture that SDXL is told it makes, such as 1024; invert and edit tell it the same (default: "
        "0, the clip's size)",
    )
    add_preset(tune, Preset.tuning)
    add_settings(tune, TuneConfig)
    add_early_stop(tune)

    invert = commands.add_parser("invert", help="invert a clip; writes a trajectory file")
    add_model(invert)
    add_lora(invert)
    add_motion(invert)
    add_clip(invert)
    add_windows(invert)
    add_control(invert)
    add_inversion(invert)
    add_setting(invert, InvertConfig, "method")
    invert.add_argument("--out", type=Path, required=True, help="the trajectory file, .safetensors")
    invert.add_argument("--check", action="store_true", help="sample the clip back and print how much was lost")

    reconstruct = commands.add_parser("reconstruct", help="compare how much of a clip each inversion method gives back")
    add_model(reconstruct)
    add_lora(reconstruct)
    add_motion(reconstruct)
    add_clip(reconstruct)
    add_windows(reconstruct)
    add_control(reconstruct)
    add_inversion(reconstruct)
    reconstruct.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    reconstruct.add_argument("--out", type=Path, help="also write the figures to this JSON file")

    edit = commands.add_parser("edit", help="render videos under new prompts")
    add_model(edit)
    add_lora(edit)
    add_motion(edit, required=False)
    add_windows(edit)
    add_control(edit)
    edit.add_argument("--prompt", action="append", required=True, help="a new prompt; may be given several times")
    negative = edit.add_mutually_exclusive_group()
    negative.add_argument("--negative", default="", help="what the video should not show")
    negative.add_argument(
        "--negative-source", action="store_true", help="use the prompt of the tuned clip as the negative prompt"
    )
    edit.add_argument(
        "--trajectory", type=Path, help="the file that invert wrote; without it, the edit starts from random noise"
    )
    edit.add_argument(
        "--blend", type=Path, help="a second trajectory file, written with the same settings, to blend in"
    )
    edit.add_argument(
        "--blend-weight", type=float, default=0.5, help="share of the second trajectory, 0 to 1 (default: 0.5)"
    )
    edit.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="speed of the trajectory's motion: 0.5 is half, with nearly twice as many frames (default: 1)",
    )
    edit.add_argument(
        "--num-frames", type=int, help="frames of a random start; with --trajectory, checked against its frames"
    )
    edit.add_argument("--width", type=int, help="width of a random start (default: as tuned)")
    edit.add_argument("--height", type=int, help="height of a random start (default: as tuned)")
    edit.add_argument(
        "--free-noise", action="store_true", help="start from random noise by FreeNoise, made for context windows"
    )
    edit.add_argument("--fps", type=float, help="frame rate of the videos (default: the source's)")
    add_provenance(edit, noted=False)
    edit.add_argument("--scheduler", help="a diffusers scheduler class, for random starts (default: DDIM)")
    edit.add_argument(
        "--format",
        choices=("mp4", "gif", "webp", "png"),
        default="mp4",
        help="format of the videos; png makes a folder of pictures",
    )
    edit.add_argument(
        "--out", type=Path, required=True, help="folder for the videos, which are named after their prompts"
    )
    add_preset(edit, Preset.editing)
    add_setting(edit, EditConfig, "num_steps", default=None, help=f"Sampling steps ({STEPS}).")
    add_settings(edit, EditConfig, leave_out=("num_steps",))
    add_local_edit(edit)
    add_injection(edit)
    edit.add_argument(
        "--inject-prompt", default="", help="the prompt that the clip was inverted under (default: the empty one)"
    )
    add_flow(edit)
    add_animation(edit)

    add_animate(commands.add_parser("animate", help="move an object along a path, or the camera; writes a video"))
    generate = commands.add_parser("generate", help="make videos from prompts, with any checkpoint and no tuning")
    add_generate(generate)
    add_lavie(generate)
    add_instruct(commands.add_parser("instruct", help="edit a clip as an instruction says, with InstructPix2Pix"))
    add_interpolate(commands.add_parser("interpolate", help="put three new frames between each two, with LaVie"))
    add_upscale(commands.add_parser("upscale", help="make a video four times as wide and high, with LaVie"))
    add_train_video(commands.add_parser("train-video", help="train LaVie's base on captioned clips and pictures"))
    add_learn_start(commands.add_parser("learn-start", help="learn from many clips where tunings start from"))
    add_tune_clips(commands.add_parser("tune-clips", help="tune on a few clips that share a motion"))
    add_convert(commands.add_parser("convert", help="write one of LaVie's files as safetensors"))
    add_batch(commands.add_parser("batch", help="run a list of edits over many clips, on one machine or many"))
    add_study(commands.add_parser("study", help="let people compare two methods' videos blindly, and count"))
    add_report(commands.add_parser("report", help="measure videos and write a page that shows them with their scores"))

    info = commands.add_parser("info", help="describe a motion, trajectory, run state, LoRA, checkpoint or video")
    info.add_argument("path", type=Path)
    add_vae(info)
    return parser


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--video", type=Path, action="append", required=True, help="a video to measure; may be given several times"
    )
    parser.add_argument("--label", action="append", default=[], help="one per video (default: its file name)")
    parser.add_argument(
        "--prompt", action="append", default=[], help="one per video, for the page and the CLIP text score"
    )
    parser.add_argument("--source", type=Path, help="the clip that the videos were made from")
    parser.add_argument("--source-prompt", help="what the source shows, for its CLIP text score")
    add_clip_settings(parser, "start", "stride", "fit", of="the source")
    parser.add_argument("--num-frames", type=int, help="frames to take of each video (default: all)")
    parser.add_argument("--clip-model", type=Path, help="CLIP weights: a transformers folder or one file")
    parser.add_argument("--dino", type=Path, help="DINO weights: a transformers folder")
    parser.add_argument(
        "--pairs", choices=PAIRS, default="all", help="pairs of frames that frame consistency compares (default: all)"
    )
    parser.add_argument(
        "--flow", action=argparse.BooleanOptionalAction, help="measure the motion (default: if OpenCV is installed)"
    )
    parser.add_argument("--motion", type=Path, help="the motion file, to show its settings")
    parser.add_argument("--state", type=Path, help="the run's state.safetensors, to show its loss")
    parser.add_argument("--device", help="device for CLIP and DINO: cuda, mps or cpu (default: the best available)")
    parser.add_argument("--out", type=Path, required=True, help="the page, .html")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The parsed options; options that are not given come from the preset, if there is one."""
    parser = build_parser()
    # The first parse makes a preset's settings the defaults; the second one uses them.
    parser.parse_args(argv)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit status: 0, 1 after an error, 130 after Ctrl-C, 128 + n after the signal n."""
    with lasting_streams():
        args = parse(argv)
        try:
            with raise_when_ended():
                return run(args)
        except TavError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as ended:
            print("cancelled", file=sys.stderr)
            return 128 + (ended.number if isinstance(ended, Ended) else signal.SIGINT)


def run(args: argparse.Namespace) -> int:
    """Runs the command that the options name. Returns the exit status, which is 1 if jobs of a batch failed."""
    from . import animate, commands, lavie, several_clips, zero_shot

    if args.command == "batch":
        from .batch import run_batch_command

        return run_batch_command(args)
    if args.command == "study":
        from .study import run_study

        return run_study(args)
    homes = {"generate": zero_shot, "instruct": zero_shot, "convert": lavie, "animate": animate}
    homes |= {"learn-start": several_clips, "tune-clips": several_clips}
    home, name = homes.get(args.command, commands), f"run_{args.command.replace('-', '_')}"
    if getattr(args, "lavie", None):
        home = lavie
    if getattr(args, "animation", None):
        home, name = animate, "run_edit_animation"
    with explain_out_of_memory(f"running {args.command}", "Use a smaller size, or close other programs."):
        getattr(home, name)(args)
    return 0
