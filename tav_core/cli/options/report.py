"""The options of `report` and `info`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...metrics.scores import PAIRS
from .groups import add_vae
from .settings import add_clip_settings


def add_report(parser: argparse.ArgumentParser) -> None:
    """The options of a page that shows videos with their scores."""
    parser.add_argument(
        "--video", type=Path, action="append", required=True, help="a video to measure; may be given several times"
    )
    parser.add_argument(
        "--label", action="append", default=[], help="one per video (default: its file name, with its folder if needed)"
    )
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


def add_info(parser: argparse.ArgumentParser) -> None:
    """The options of a description of a file."""
    parser.add_argument("path", type=Path)
    add_vae(parser)
