"""The options of `tune`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...models.attention_modes import GROUP_NORMS, MODES, POSITIONS, TEMPORAL_BLOCKS
from ...sampling.presets import Preset
from ...tuning.config import TuneConfig
from .groups import add_clip, add_lora, add_model
from .presets import add_preset
from .settings import add_settings

# How a UNet is inflated, unless an option or the motion that a tuning starts from says otherwise.
DEFAULT_MODES = {
    "attention": "sparse_causal",
    "attention_k": 2,
    "positions": "none",
    "temporal": "auto",
    "group_norm": "frame",
}


def default_of(mode: str) -> str:
    """A mode's default in words."""
    return f"default: that of the motion to start from, or {DEFAULT_MODES[mode]}"


def add_tune(parser: argparse.ArgumentParser) -> None:
    """The options of a tuning on one clip."""
    add_model(parser)
    add_lora(parser)
    add_clip(parser, tuned=False)
    parser.add_argument("--prompt", required=True, help="what the clip shows")
    parser.add_argument("--out", type=Path, required=True, help="folder for motion.safetensors and the run's state")
    parser.add_argument(
        "--attention", choices=MODES, help=f"which frames a frame attends to ({default_of('attention')})"
    )
    parser.add_argument(
        "--attention-k",
        type=int,
        help=f"how far back sparse_causal_k also attends, in frames ({default_of('attention_k')})",
    )
    parser.add_argument(
        "--positions",
        choices=POSITIONS,
        help=f"position encoding of frames in temporal attention ({default_of('positions')})",
    )
    parser.add_argument(
        "--temporal",
        choices=("auto", *TEMPORAL_BLOCKS),
        help="the transformer blocks that get temporal attention; auto is the last of each transformer for SDXL, all "
        f"for 1.x and 2.x, where that is no different ({default_of('temporal')})",
    )
    parser.add_argument(
        "--group-norm",
        choices=GROUP_NORMS,
        help=f"what group norms take their statistics over; clip is the original's ({default_of('group_norm')})",
    )
    parser.add_argument(
        "--start-from",
        type=Path,
        help="a motion file to go on from, also one of another clip; or lavie_interpolation.pt, for its temporal "
        "layers (default: from zero)",
    )
    parser.add_argument(
        "--told-size",
        type=int,
        default=0,
        help="side of the picture that SDXL is told it makes, such as 1024; invert and edit tell it the same (default: "
        "0, the clip's size)",
    )
    add_preset(parser, Preset.tuning)
    add_settings(parser, TuneConfig)
    add_early_stop(parser)


def add_early_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stop-early",
        metavar="PROMPT",
        help="stop when previews under this other prompt no longer improve; keep the best",
    )
    parser.add_argument("--clip-model", type=Path, help="CLIP weights that score previews: a folder or one file")
    parser.add_argument("--score-every", type=int, default=50, help="steps between scored previews (default: 50)")
    parser.add_argument(
        "--patience", type=int, default=2, help="scores without improvement before tuning stops (default: 2)"
    )
