"""The options of `invert` and `reconstruct`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...sampling.config import METHODS, EditConfig, InvertConfig
from ...sampling.presets import Preset
from .groups import add_clip, add_control, add_lora, add_model, add_motion, add_windows
from .presets import add_preset
from .settings import add_setting


def add_invert(parser: argparse.ArgumentParser) -> None:
    """The options of an inversion."""
    add_inverting(parser)
    add_preset(parser, Preset.inverting)
    add_setting(parser, InvertConfig, "method")
    parser.add_argument("--out", type=Path, required=True, help="the trajectory file, .safetensors")
    parser.add_argument("--check", action="store_true", help="sample the clip back and print how much was lost")


def add_reconstruct(parser: argparse.ArgumentParser) -> None:
    """The options of a comparison of inversion methods."""
    add_inverting(parser)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")


def add_inverting(parser: argparse.ArgumentParser) -> None:
    """What is inverted, by which model, and how."""
    add_model(parser)
    add_lora(parser)
    add_motion(parser)
    add_clip(parser)
    add_windows(parser)
    add_control(parser)
    add_inversion(parser)


def add_inversion(parser: argparse.ArgumentParser) -> None:
    """The options of an inversion: its prompt and its steps."""
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("--prompt", default="", help="the prompt to invert under (default: the empty one)")
    prompt.add_argument(
        "--source-prompt", action="store_true", help="invert under the prompt that the motion was tuned with"
    )
    parser.add_argument(
        "--num-steps", type=int, default=EditConfig().num_steps, help="inversion steps; edit must use as many"
    )
    add_setting(parser, InvertConfig, "iterations")
