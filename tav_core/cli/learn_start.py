"""The command `learn-start`: temporal layers that have seen many clips, for later tunings to start from."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from ..models.attention_modes import GROUP_NORMS, POSITIONS
from ..tuning.config import START, TuneConfig
from ..tuning.video_layers.config import VideoLayersConfig
from .options import add_model, add_setting, add_settings

# What a start decides itself: which weights train, and how far.
OWN = ("num_steps", "learning_rate", "modules", "query_rank", "low_rank_learning_rate", "window")
CLIP_SETTINGS = ("num_frames", "stride", "width", "height")


def add_learn_start(parser: argparse.ArgumentParser) -> None:
    """The options of a start that is learned from many clips."""
    add_model(parser)
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of clips, each beside its caption NAME.txt, or with metadata.jsonl",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for start.safetensors and the run's state")
    parser.add_argument("--positions", choices=POSITIONS, default="none", help="as the tunings that start from it")
    parser.add_argument("--group-norm", choices=GROUP_NORMS, default="frame", help="likewise (default: frame)")
    for name in CLIP_SETTINGS:
        add_setting(parser, VideoLayersConfig, name)
    for name in ("num_steps", "learning_rate"):
        value = getattr(START, name)
        text = TuneConfig.__dataclass_fields__[name].metadata["help"]
        add_setting(parser, TuneConfig, name, default=value, help=f"{text} (default: {value})")
    add_settings(parser, TuneConfig, leave_out=OWN)


def run_learn_start(args: argparse.Namespace) -> None:
    """Tunes temporal layers on a folder of clips and writes `start.safetensors` into the output folder."""
    from ..denoisers.denoiser import UNetDenoiser
    from ..models.unet import InflatedUNet
    from ..tuning.clips_run import ClipToLearn, learn_start
    from ..tuning.video_layers.captioned_latents import encode_folder
    from .inputs import load_model
    from .progress import counted_by, progress_bar
    from .signals import raise_between_steps
    from .tuning_bar import TuningBar

    fields = [field.name for field in dataclasses.fields(TuneConfig)]
    given = {name: getattr(args, name) for name in fields if hasattr(args, name)}
    config = dataclasses.replace(START, **given)
    reading = VideoLayersConfig(images_per_clip=0, **{name: getattr(args, name) for name in CLIP_SETTINGS})
    checkpoint = load_model(args, precision=config.precision)
    with progress_bar("encode", 0) as bar:
        data = encode_folder(checkpoint, args.data, config=reading, on_read=counted_by(bar))
    modes = {"positions": args.positions, "group_norm": args.group_norm, "backend": args.backend}
    denoiser = UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet, **modes), schedule=checkpoint.schedule)
    clips = [ClipToLearn(latents=clip.latents, context=clip.text) for clip in data.clips]
    with raise_between_steps() as check, TuningBar(config.num_steps, check) as bar:
        start = learn_start(denoiser, clips, config=config, state_path=args.out / "state.safetensors", on_step=bar)
    print(start.save(args.out / "start.safetensors"))
