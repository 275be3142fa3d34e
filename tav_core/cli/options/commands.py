"""All commands, in the order of the help."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ...version import __version__
from .animate import add_animate
from .batch import add_batch, add_study
from .edit import add_edit
from .invert import add_invert, add_reconstruct
from .lavie import add_convert, add_interpolate, add_lavie, add_train_video, add_upscale
from .parser import Parser
from .report import add_info, add_report
from .several_clips import add_learn_start, add_tune_clips
from .tune import add_tune
from .zero_shot import add_generate, add_instruct

AddOptions = Callable[[argparse.ArgumentParser], None]
COMMANDS: dict[str, tuple[str, tuple[AddOptions, ...]]] = {
    "tune": ("tune a model on one clip; writes a motion file", (add_tune,)),
    "invert": ("invert a clip; writes a trajectory file", (add_invert,)),
    "reconstruct": ("compare how much of a clip each inversion method gives back", (add_reconstruct,)),
    "edit": ("render videos under new prompts", (add_edit,)),
    "animate": ("move an object along a path, or the camera; writes a video", (add_animate,)),
    "generate": ("make videos from prompts, with any checkpoint and no tuning", (add_generate, add_lavie)),
    "instruct": ("edit a clip as an instruction says, with InstructPix2Pix", (add_instruct,)),
    "interpolate": ("put three new frames between each two, with LaVie", (add_interpolate,)),
    "upscale": ("make a video four times as wide and high, with LaVie", (add_upscale,)),
    "train-video": ("train LaVie's base on captioned clips and pictures", (add_train_video,)),
    "learn-start": ("learn from many clips where tunings start from", (add_learn_start,)),
    "tune-clips": ("tune on a few clips that share a motion", (add_tune_clips,)),
    "convert": ("write one of LaVie's files as safetensors", (add_convert,)),
    "batch": ("run a list of edits over many clips, on one machine or many", (add_batch,)),
    "study": ("let people compare two methods' videos blindly, and count", (add_study,)),
    "report": ("measure videos and write a page that shows them with their scores", (add_report,)),
    "info": ("describe a motion, trajectory, run state, LoRA, checkpoint or video", (add_info,)),
}


def build_parser() -> Parser:
    """All commands and their options; the defaults and help texts of settings come from their dataclasses."""
    parser = Parser(prog="python -m tav_core", description="One-shot video tuning (Tune-A-Video).")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (about, parts) in COMMANDS.items():
        command = commands.add_parser(name, help=about)
        for add_options in parts:
            add_options(command)
    return parser
