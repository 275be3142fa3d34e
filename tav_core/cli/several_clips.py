"""The commands that learn from a folder of clips: `learn-start` and `tune-clips`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ..atomic_files import check_output
from ..tuning.config import SEVERAL, START, TuneConfig
from ..tuning.video_layers.config import VideoLayersConfig
from ..video.config import ClipConfig, ClipInfo
from .options.settings import read_settings
from .options.several_clips import CLIP_SETTINGS, OWN

if TYPE_CHECKING:
    from ..denoisers.denoiser import UNetDenoiser
    from ..tuning.clips_run import ClipToLearn


def run_learn_start(args: argparse.Namespace) -> None:
    """Tunes temporal layers on a folder of clips and writes `start.safetensors` into the output folder."""
    from ..tuning.clips_run import learn_start
    from .signals import raise_between_steps
    from .tuning_bar import TuningBar

    config = read_tuning(args, START)
    denoiser, clips = load_clips(args, config)
    with raise_between_steps() as check, TuningBar(config.num_steps, check) as bar:
        state = args.out / "state.safetensors"
        start = learn_start(denoiser, list(clips.values()), config=config, state_path=state, on_step=bar)
    print(start.save(args.out / "start.safetensors"))


def run_tune_clips(args: argparse.Namespace) -> None:
    """Tunes on a few clips; writes `motion.safetensors`, and what each clip looks like as `NAME_look.safetensors`."""
    import torch

    from ..tuning.appearance import save_lora
    from ..tuning.clips_run import tune_clips
    from .signals import raise_between_steps
    from .tuning_bar import TuningBar

    config = read_tuning(args, SEVERAL)
    denoiser, clips = load_clips(args, config)
    looks = [args.out / f"{name}_look.safetensors" for name in look_names(clips)]
    for path in looks:
        check_output(path)
    with raise_between_steps() as check, TuningBar(config.num_steps, check) as bar:
        learned = tune_clips(
            denoiser,
            list(clips.values()),
            config=config,
            appearance_rank=args.appearance_rank,
            about=ClipInfo(config=ClipConfig(**{name: getattr(args, name) for name in CLIP_SETTINGS})),
            state_path=args.out / "state.safetensors",
            on_step=bar,
        )
    print(learned.motion.save(args.out / "motion.safetensors"))
    for path, look in zip(looks, learned.appearances, strict=True):
        print(save_lora(path, look, dtype=torch.float16))


def look_names(clips: Iterable[str]) -> list[str]:
    """A name for each clip's file: its own, without folders and ending where these are not needed to tell it apart."""
    found: list[str] = []
    for clip in clips:
        path = PurePosixPath(clip)
        whole = [clip, *(f"{clip}-{number}" for number in range(2, len(found) + 3))]
        names = (path.stem, path.name, *(each.replace("/", "-") for each in whole))
        found.append(next(name for name in names if name.lower() not in map(str.lower, found)))
    return found


def read_tuning(args: argparse.Namespace, defaults: TuneConfig) -> TuneConfig:
    """The settings of the tuning, from the options."""
    own = {name: getattr(defaults, name) for name in OWN}
    config: TuneConfig = read_settings(argparse.Namespace(**own, **vars(args)), TuneConfig)
    return config


def load_clips(args: argparse.Namespace, config: TuneConfig) -> tuple[UNetDenoiser, dict[str, ClipToLearn]]:
    """The inflated model, and the folder's clips by their names."""
    from ..denoisers.denoiser import UNetDenoiser
    from ..models.unet import InflatedUNet
    from ..tuning.clips_run import ClipToLearn
    from ..tuning.video_layers.captioned_latents import encode_folder, without_weights
    from .inputs import encode, load_model
    from .progress import counted_by, progress_bar

    sizes: dict[str, Any] = {name: getattr(args, name) for name in CLIP_SETTINGS}
    reading = VideoLayersConfig(images_per_clip=0, **sizes)
    checkpoint = load_model(args, precision=config.precision)
    with progress_bar("encode", 0) as bar:
        how = {"config": reading, "long_prompts": args.long_prompts}
        data = encode_folder(checkpoint, args.data, **how, on_read=counted_by(bar))
    modes: dict[str, Any] = {"positions": args.positions, "group_norm": args.group_norm, "backend": args.backend}
    denoiser = UNetDenoiser(unet=InflatedUNet.from_2d(checkpoint.unet, **modes), schedule=checkpoint.schedule)
    # Encoded again, because the folder keeps the text alone, and Stable Diffusion XL takes more.
    told = {clip.name: encode(args, checkpoint, without_weights(clip.caption)) for clip in data.clips}
    return denoiser, {clip.name: ClipToLearn(latents=clip.latents, context=told[clip.name]) for clip in data.clips}
