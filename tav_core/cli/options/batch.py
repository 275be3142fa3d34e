"""The options of `python -m tav_core batch` and `python -m tav_core study`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ...batch.recipe import Modes
from ...sampling.config import EditConfig, InvertConfig, LocalEditConfig
from ...sampling.presets import Preset
from ...tuning.config import TuneConfig
from ...video.config import ClipConfig
from .edit import add_injection
from .groups import add_lora, add_model
from .presets import add_preset
from .settings import add_setting, add_settings
from .tune import DEFAULT_MODES, default_of

EXECUTORS = ("serial", "processes", "ray")
EXPORTS = ("loveu", "vbench", "editboard")
STAGES = ("tune", "invert", "edits", "scores")
# The batch says itself what is to be done with a run that is there.
NOT_TUNE = ("resume",)


def add_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "manifest",
        nargs="?",
        help="a list of clips and edits, .csv or .yaml; or a data set: loveu:FOLDER, davis:FOLDER, five:FOLDER, "
        "editboard:FILE",
    )
    add_model(parser, required=False)
    add_lora(parser)
    add_preset(parser, preset_settings)
    parser.add_argument("--out", type=Path, help="folder for everything; the same command goes on there")
    parser.add_argument("--status", type=Path, metavar="OUT", help="only say how far the batch in this folder is")
    parser.add_argument("--dry-run", action="store_true", help="only check the list and say what would be done")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="stages to do (default: all)")
    parser.add_argument("--only", metavar="PATTERN", help="clips by name, such as 'bear*', or edits, such as '*/style'")
    parser.add_argument("--shard", metavar="I/N", help="only every N-th clip from the I-th on, for arrays of jobs")
    parser.add_argument("--export", choices=EXPORTS, help="then write the videos where another tool looks for them")
    add_places(parser)
    add_judges(parser)
    clips = parser.add_argument_group("clips", "where the list does not say it")
    for name in ("start", "stride", "num_frames", "width", "height", "fit"):
        add_setting(clips, ClipConfig, name)
    tuning = parser.add_argument_group("tuning")
    tuning.add_argument("--start-from", type=Path, help="a motion that every tuning goes on from (default: from zero)")
    add_settings(tuning, TuneConfig, leave_out=NOT_TUNE, prefix="tune-")
    editing = parser.add_argument_group("inversion and editing")
    add_settings(editing, EditConfig)
    add_settings(editing, InvertConfig, prefix="invert-")
    editing.add_argument("--source-prompt", action="store_true", help="invert under the clip's prompt")
    add_setting(editing, LocalEditConfig, "feather")
    add_injection(editing)
    add_modes(parser.add_argument_group("model and results"))


def add_modes(parser: argparse._ActionsContainer) -> None:
    """The options of `Modes`. None means for a mode of the model: as the motion to start from, or the default."""
    for field in dataclasses.fields(Modes):
        if field.name in DEFAULT_MODES:
            help = f"{field.metadata['help']} ({default_of(field.name)})"
            add_setting(parser, Modes, field.name, default=None, help=help)
        else:
            add_setting(parser, Modes, field.name)


def preset_settings(preset: Preset) -> dict[str, Any]:
    """The options of a batch that a preset sets: those of tune, invert and edit."""
    tuning = preset.tuning()
    modes = {"group_norm": tuning.pop("group_norm")}
    return {
        **{f"tune_{name}": value for name, value in tuning.items()},
        **modes,
        **preset.inverting(),
        **preset.editing(),
    }


def add_places(parser: argparse.ArgumentParser) -> None:
    """Where the jobs run."""
    places = parser.add_argument_group("where jobs run")
    places.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="serial",
        help="serial: one after the other; processes: one per GPU of this machine; ray: any cluster (default: serial)",
    )
    places.add_argument("--workers", type=int, default=0, help="processes at once (default: one per GPU, else one)")
    places.add_argument("--address", default="", help="of Ray's cluster, such as auto (default: a local one)")
    places.add_argument(
        "--gpus-per-job", type=float, help="GPUs of a job; a fraction counts, and limits no memory (default: 1, if any)"
    )
    places.add_argument("--cpus-per-job", type=float, default=2, help="CPUs of a job, for Ray (default: 2)")
    places.add_argument("--retries", type=int, default=2, help="times a job that crashed is tried again (default: 2)")


def add_judges(parser: argparse.ArgumentParser) -> None:
    """What scores the results."""
    judges = parser.add_argument_group("scores")
    judges.add_argument("--clip-model", type=Path, help="CLIP weights; ViT-L/14 for LOVEU's scores: a folder or a file")
    judges.add_argument("--pick-score", type=Path, help="PickScore_v1: a folder or a file")
    judges.add_argument("--dino", type=Path, help="DINO weights: a transformers folder")
    judges.add_argument(
        "--flow", action=argparse.BooleanOptionalAction, help="measure the motion (default: if OpenCV is installed)"
    )


def add_study(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", required=True)
    page = parts.add_parser("page", help="make a page that shows two methods' videos side by side, blind")
    page.add_argument("--a", type=Path, required=True, help="the folder of a batch, or of videos")
    page.add_argument("--b", type=Path, required=True, help="another, of the same edits")
    page.add_argument("--label-a", default="", help="name of the first method (default: its folder's)")
    page.add_argument("--label-b", default="", help="name of the second method (default: its folder's)")
    page.add_argument("--limit", type=int, default=0, help="take the first pairs alone (default: 0, all)")
    page.add_argument("--out", type=Path, required=True, help="the page, .html; a key is written beside it")
    serve = parts.add_parser("serve", help="serve the page on this machine and keep the answers")
    serve.add_argument("page", type=Path, help="the page")
    serve.add_argument("--answers", type=Path, required=True, help="folder for the answers")
    serve.add_argument("--host", default="127.0.0.1", help="where to listen; 0.0.0.0 is for everybody in the network")
    serve.add_argument("--port", type=int, default=8700, help="port to listen on, 0 for any (default: 8700)")
    tally = parts.add_parser("tally", help="count answers: how often each method was preferred")
    tally.add_argument("key", type=Path, help="the .key.json beside the page")
    tally.add_argument("answers", type=Path, nargs="+", help="CSV files of answers, or folders of them")
