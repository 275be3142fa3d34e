"""Groups of options that several commands have."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...denoisers.config import ControlConfig
from ...denoisers.windows import ContextWindows
from .settings import add_clip_settings, add_setting, add_settings

DEFAULT_TEXT = "TAV"
FORMATS = ("mp4", "gif", "webp", "png")


def add_model(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument(
        "--model", "--sd", type=Path, required=required, help="checkpoint: a diffusers folder or a single file"
    )
    add_device(parser)
    add_vae(parser)
    parser.add_argument("--tokenizer", type=Path, help="folder with vocab.json and merges.txt, if the model has none")
    parser.add_argument(
        "--prediction-type",
        choices=("epsilon", "v_prediction"),
        help="what the UNet predicts, if the checkpoint does not say",
    )
    parser.add_argument(
        "--long-prompts",
        action="store_true",
        help="take prompts of more than 75 tokens, in parts of 75 as ComfyUI does",
    )


def add_lora(parser: argparse.ArgumentParser) -> None:
    """The option of LoRAs; invert and edit need those that tune had."""
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:SCALE]",
        help="a LoRA to put on the model, in kohya's, ComfyUI's, diffusers' or peft's layout, and how strong (default: "
        "1); may be given several times, and belongs to invert and edit as it does to tune",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Where to compute, and in which precision."""
    parser.add_argument(
        "--dtype", choices=("fp32", "fp16", "bf16"), help="dtype of the weights (default: fp32 on a CPU)"
    )
    parser.add_argument("--device", help="cuda, mps or cpu (default: the best available)")
    parser.add_argument("--backend", choices=("sdpa", "xformers"), default="sdpa", help="attention implementation")


def add_vae(parser: argparse.ArgumentParser) -> None:
    """The option of a VAE of its own."""
    parser.add_argument(
        "--vae", type=Path, help="a VAE, as a file or folder, if the checkpoint has none or in place of its own"
    )


def add_motion(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument("--motion", type=Path, required=required, help="the motion file that tune wrote")
    parser.add_argument("--strength", type=float, default=1.0, help="strength of the tuned queries")
    parser.add_argument("--temporal-strength", type=float, default=1.0, help="strength of the temporal attention")


def add_clip(parser: argparse.ArgumentParser, *, tuned: bool = True) -> None:
    """The clip and how it is read."""
    parser.add_argument("--clip", type=Path, required=True, help="a video, GIF, WebP or a folder of pictures")
    add_clip_settings(parser, tuned=tuned)


def add_windows(parser: argparse.ArgumentParser) -> None:
    """The options for clips that are longer than the tuned one. Invert and edit need the same values."""
    parser.add_argument(
        "--context-length",
        type=int,
        default=0,
        help="frames in a context window, for example 16 (default: 0, no windows)",
    )
    add_setting(parser, ContextWindows, "overlap", prefix="context-")


def add_provenance(parser: argparse.ArgumentParser, *, noted: bool) -> None:
    """What the videos tell of how they were made.

    Args:
        noted: whether their settings are written into them unless the option says otherwise.
    """
    parser.add_argument(
        "--metadata",
        action=argparse.BooleanOptionalAction,
        default=noted,
        help=f"write prompt, settings and names of files into the videos, for info to read (default: {noted})",
    )
    parser.add_argument(
        "--watermark",
        nargs="?",
        const=DEFAULT_TEXT,
        default="",
        metavar="TEXT",
        help=f"hide a text of up to 6 letters in every frame, for info to read (default: none; without a TEXT, "
        f"{DEFAULT_TEXT})",
    )


def add_control(parser: argparse.ArgumentParser) -> None:
    """The options of ControlNets and T2I-Adapters; the first values belong to the first net, and so on."""
    parser.add_argument(
        "--control",
        type=Path,
        action="append",
        default=[],
        help="ControlNet or T2I-Adapter, a folder or one file; may be given several times, with its video and settings",
    )
    parser.add_argument(
        "--control-video", type=Path, action="append", default=[], help="its video of depth, edges, poses ..."
    )
    parser.add_argument(
        "--control-mask",
        type=Path,
        action="append",
        default=[],
        help="where it acts, in white: a picture, or a video with one mask per frame (default: everywhere)",
    )
    add_settings(parser, ControlConfig, prefix="control-", action="append", default=[])
    parser.add_argument(
        "--control-first-frame", type=int, help="first frame of the control videos (default: the clip's)"
    )
    parser.add_argument("--control-stride", type=int, help="step between their frames (default: the clip's)")


def add_output(
    parser: argparse.ArgumentParser,
    *,
    fps: str,
    noted: bool = True,
    what: str = "videos, which are named after their prompts",
) -> None:
    """Where videos go, and how.

    Args:
        fps: the default of their frame rate, in words.
        noted: see `add_provenance`.
        what: goes there, and what it is named after.
    """
    add_provenance(parser, noted=noted)
    parser.add_argument("--fps", type=float, help=f"frames per second (default: {fps})")
    parser.add_argument("--format", choices=FORMATS, default="mp4", help="png makes a folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help=f"folder for the {what}")
