"""The options of the commands that learn from a folder of clips: `learn-start` and `tune-clips`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...models.attention_modes import GROUP_NORMS, POSITIONS
from ...tuning.config import APPEARANCE_RANK, SEVERAL, START, TuneConfig
from ...tuning.video_layers.config import VideoLayersConfig
from .groups import add_model
from .settings import add_setting, add_settings

# What a run on several clips decides itself: which weights train.
OWN = ("modules", "query_rank", "window")
CLIP_SETTINGS = ("num_frames", "stride", "width", "height")


def add_learn_start(parser: argparse.ArgumentParser) -> None:
    """The options of a start that is learned from many clips."""
    add_several_clips(parser, START, result="start.safetensors")


def add_tune_clips(parser: argparse.ArgumentParser) -> None:
    """The options of a motion that a few clips share."""
    add_several_clips(parser, SEVERAL, result="motion.safetensors, a LoRA of each clip's looks")
    parser.add_argument(
        "--appearance-rank",
        type=int,
        default=APPEARANCE_RANK,
        help=f"rank of each clip's looks; MotionDirector's (default: {APPEARANCE_RANK})",
    )


def add_several_clips(parser: argparse.ArgumentParser, defaults: TuneConfig, *, result: str) -> None:
    """The options that both commands have.

    Args:
        defaults: of the settings; those that differ from a tuning's on one clip are said in the help.
    """
    add_model(parser)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of clips, each beside its caption NAME.txt, or with metadata.jsonl",
    )
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {result} and the run's state")
    parser.add_argument("--positions", choices=POSITIONS, default="none", help="position encoding of frames")
    parser.add_argument("--group-norm", choices=GROUP_NORMS, default="frame", help="what group norms look at")
    for name in CLIP_SETTINGS:
        add_setting(parser, VideoLayersConfig, name)
    differing = [name for name in vars(defaults) if getattr(defaults, name) != getattr(TuneConfig(), name)]
    for name in differing:
        if name not in OWN:
            value, text = getattr(defaults, name), TuneConfig.__dataclass_fields__[name].metadata["help"]
            add_setting(parser, TuneConfig, name, default=value, help=f"{text} (default: {value})")
    add_settings(parser, TuneConfig, leave_out=(*OWN, *differing))
