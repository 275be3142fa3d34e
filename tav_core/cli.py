"""The command line: `python -m tav_core tune | invert | reconstruct | edit | report | info`.

Parses, calls commands.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .attention_modes import MODES
from .edit_config import EditConfig
from .errors import TavError
from .invert_config import METHODS, InvertConfig
from .local_edit_config import LocalEditConfig
from .metrics.names import PAIRS
from .tune_config import TuneConfig
from .version import __version__
from .windows import ContextWindows

FITS = ("crop", "pad", "stretch")


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options; the settings' defaults and help come from their dataclasses."""
    parser = argparse.ArgumentParser(prog="python -m tav_core", description="One-shot video tuning (Tune-A-Video).")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    tune = commands.add_parser("tune", help="tune a model on one clip; writes a motion file")
    add_model(tune)
    add_clip(tune)
    tune.add_argument("--prompt", required=True, help="what the clip shows")
    tune.add_argument("--out", type=Path, required=True, help="folder for motion.safetensors and the run's state")
    tune.add_argument("--attention", choices=MODES, default="sparse_causal", help="which frames a frame looks at")
    tune.add_argument("--group-norm", choices=("clip", "frame"), default="clip", help="statistics of the group norms")
    add_settings(tune, TuneConfig)
    add_early_stop(tune)

    invert = commands.add_parser("invert", help="invert a clip; writes a trajectory file")
    add_model(invert)
    add_motion(invert)
    add_clip(invert)
    add_windows(invert)
    add_inversion(invert)
    invert.add_argument("--method", choices=METHODS, default=InvertConfig.method, help=help_of(InvertConfig, "method"))
    invert.add_argument("--out", type=Path, required=True, help="the trajectory file, .safetensors")
    invert.add_argument("--check", action="store_true", help="sample the clip back and say how much was lost")

    reconstruct = commands.add_parser("reconstruct", help="say what each inversion method gives back of a clip")
    add_model(reconstruct)
    add_motion(reconstruct)
    add_clip(reconstruct)
    add_windows(reconstruct)
    add_inversion(reconstruct)
    reconstruct.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    reconstruct.add_argument("--out", type=Path, help="a JSON file with the same figures")

    edit = commands.add_parser("edit", help="render videos under new prompts")
    add_model(edit)
    add_motion(edit)
    add_windows(edit)
    edit.add_argument("--prompt", action="append", required=True, help="a new prompt; may be given several times")
    negative = edit.add_mutually_exclusive_group()
    negative.add_argument("--negative", default="", help="what should not be seen")
    negative.add_argument(
        "--negative-source", action="store_true", help="the prompt the motion was tuned under, as the negative one"
    )
    edit.add_argument("--trajectory", type=Path, help="file written by invert; without it the start is random noise")
    edit.add_argument("--blend", type=Path, help="another such file, written with the same settings, to blend in")
    edit.add_argument("--blend-weight", type=float, default=0.5, help="0 is none of it, 1 is it alone (default: 0.5)")
    edit.add_argument("--num-frames", type=int, help="frames of a random start, or to check against the inversion")
    edit.add_argument("--width", type=int, help="of a random start; as tuned by default")
    edit.add_argument("--height", type=int, help="of a random start; as tuned by default")
    edit.add_argument("--free-noise", action="store_true", help="a random start for windows, by FreeNoise")
    edit.add_argument("--fps", type=float, help="of the videos; the source's by default")
    edit.add_argument("--scheduler", help="a diffusers scheduler class, for random starts (default: DDIM)")
    edit.add_argument("--format", choices=("mp4", "gif", "webp", "png"), default="mp4", help="png is a folder")
    edit.add_argument("--out", type=Path, required=True, help="folder for the videos, named by their prompts")
    add_settings(edit, EditConfig)
    add_local_edit(edit)

    add_report(commands.add_parser("report", help="measure videos and write a page with them and their scores"))

    info = commands.add_parser("info", help="say what a motion, trajectory, run or checkpoint is")
    info.add_argument("path", type=Path)
    return parser


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=Path, action="append", required=True, help="may be given several times")
    parser.add_argument("--label", action="append", default=[], help="one for each video (default: its file name)")
    parser.add_argument("--prompt", action="append", default=[], help="one for each video, for the CLIP text score")
    parser.add_argument("--source", type=Path, help="the clip that the videos were made from")
    parser.add_argument("--source-prompt", help="what it shows, for its CLIP text score")
    parser.add_argument("--start", type=int, default=0, help="first frame of the source")
    parser.add_argument("--stride", type=int, help="step between frames of the source (default: as tuned, or 1)")
    parser.add_argument("--fit", choices=FITS, default="crop", help="how the source gets the videos' size")
    parser.add_argument("--num-frames", type=int, help="of each video (default: all)")
    parser.add_argument("--clip-model", type=Path, help="CLIP weights: a transformers folder or one file")
    parser.add_argument("--dino", type=Path, help="DINO weights: a transformers folder")
    parser.add_argument("--pairs", choices=PAIRS, default="all", help="of frames, for consistency (default: all)")
    parser.add_argument(
        "--flow", action=argparse.BooleanOptionalAction, default=True, help="measure the motion, which needs OpenCV"
    )
    parser.add_argument("--motion", type=Path, help="the motion file, to show its settings")
    parser.add_argument("--state", type=Path, help="the run's state.safetensors, to show its loss")
    parser.add_argument("--device", help="of CLIP and DINO: cuda, mps or cpu (default: the best there is)")
    parser.add_argument("--out", type=Path, required=True, help="the page, .html")


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="checkpoint: a diffusers folder or a single file")
    parser.add_argument("--dtype", choices=("fp32", "fp16", "bf16"), help="of the weights (default: fp32 on a CPU)")
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best there is)")
    parser.add_argument(
        "--tokenizer", type=Path, help="folder with vocab.json and merges.txt, where the model has none"
    )
    parser.add_argument("--prediction-type", choices=("epsilon", "v_prediction"), help="where the model does not say")
    parser.add_argument("--backend", choices=("sdpa", "xformers"), default="sdpa", help="attention implementation")


def add_motion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--motion", type=Path, required=True, help="file written by tune")
    parser.add_argument("--strength", type=float, default=1.0, help="of the tuned queries")
    parser.add_argument("--temporal-strength", type=float, default=1.0, help="of the temporal attention")


def add_inversion(parser: argparse.ArgumentParser) -> None:
    """What to invert under, and how finely."""
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", default="", help="the prompt to invert under (default: the empty one)")
    prompt.add_argument("--source-prompt", action="store_true", help="the prompt the motion was tuned under")
    parser.add_argument("--num-steps", type=int, default=EditConfig().num_steps, help="as many as edit will use")
    about = f"{help_of(InvertConfig, 'iterations')} (default: {InvertConfig.iterations})"
    parser.add_argument("--iterations", type=int, default=InvertConfig.iterations, help=about)


def help_of(config: type, name: str) -> str:
    """The help of one setting."""
    return next(field.metadata["help"] for field in dataclasses.fields(config) if field.name == name)


def add_early_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stop-early", metavar="PROMPT", help="end when previews under this other prompt get no better; the best stays"
    )
    parser.add_argument("--clip-model", type=Path, help="CLIP weights that score previews: a folder or one file")
    parser.add_argument("--score-every", type=int, default=50, help="steps between scored previews (default: 50)")
    parser.add_argument("--patience", type=int, default=2, help="scores that may be no better (default: 2)")


def add_windows(parser: argparse.ArgumentParser) -> None:
    """The options of clips that are longer than what was tuned on. Invert and edit must have the same."""
    fields = {field.name: field for field in dataclasses.fields(ContextWindows)}
    parser.add_argument(
        "--context-length", type=int, default=0, help="frames of a context window, 16 for example (default: 0, none)"
    )
    parser.add_argument(
        "--context-overlap",
        type=int,
        default=fields["overlap"].default,
        help=f"{fields['overlap'].metadata['help']} (default: {fields['overlap'].default})",
    )


def add_local_edit(parser: argparse.ArgumentParser) -> None:
    """The options of editing a part of the clip. Those of the source are as invert had them."""
    fields = {field.name: field for field in dataclasses.fields(LocalEditConfig)}
    local = parser.add_argument_group("local edits", "what is left out comes back from the source")
    local.add_argument("--mask", type=Path, help="where to edit, in white: a picture, or a video or folder of them")
    local.add_argument("--frames", help="first and last frame to edit, as in 4:12; counted from 0")
    for name in ("feather", "ramp"):
        default, about = fields[name].default, fields[name].metadata["help"]
        local.add_argument(f"--{name}", type=int, default=default, help=f"{about} (default: {default})")
    local.add_argument("--source", type=Path, help="the clip that was inverted")
    local.add_argument("--start", type=int, default=0, help="first frame of the source")
    local.add_argument("--stride", type=int, help="step between frames of the source (default: as tuned)")
    local.add_argument("--fit", choices=FITS, default="crop", help="how the source got its size")


def add_clip(parser: argparse.ArgumentParser) -> None:
    """The clip's options. None means: as the motion was tuned, or read_clip's default."""
    parser.add_argument("--clip", type=Path, required=True, help="a video, GIF, WebP or a folder of pictures")
    parser.add_argument("--start", type=int, help="first frame")
    parser.add_argument("--stride", type=int, help="step between frames")
    parser.add_argument("--num-frames", type=int, help="number of frames")
    parser.add_argument("--width", type=int, help="in pixels, a multiple of 8")
    parser.add_argument("--height", type=int, help="in pixels, a multiple of 8")
    parser.add_argument("--fit", choices=FITS, help="how the frames get that size")


def add_settings(parser: argparse.ArgumentParser, config: type) -> None:
    """One option for each field of a settings dataclass, with its default, choices and help."""
    for field in dataclasses.fields(config):
        option = "--" + field.name.replace("_", "-")
        about: dict[str, Any] = {
            "help": f"{field.metadata['help']} (default: {field.default})",
            "default": field.default,
        }
        if isinstance(field.default, bool):
            about["action"] = argparse.BooleanOptionalAction
        elif isinstance(field.default, tuple):
            about |= {"nargs": "+", "type": type(field.default[0])}
        else:
            about |= {"type": type(field.default), "choices": field.metadata["choices"] or None}
        parser.add_argument(option, **about)


def read_settings(args: argparse.Namespace, config: type) -> Any:
    """A settings dataclass from parsed options."""
    values = {field.name: getattr(args, field.name) for field in dataclasses.fields(config)}
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit status: 0, 1 after an error with its message, 130 after Ctrl-C."""
    args = build_parser().parse_args(argv)
    try:
        from . import commands

        getattr(commands, f"run_{args.command}")(args)
    except TavError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("cancelled", file=sys.stderr)
        return 130
    return 0
