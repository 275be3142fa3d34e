"""The commands `generate` and `instruct`: videos without tuning."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.load import Checkpoint
from ..denoisers.denoiser import Denoiser, UNetDenoiser
from ..errors import ConfigError
from ..models.conditioning import Conditioning
from ..models.unet import InflatedUNet
from ..sampling.step_time import estimate_runs
from ..sampling.zero_shot.config import ZeroShotConfig
from ..sampling.zero_shot.generate import LATENT_CHANNELS, Plan, generate
from ..sampling.zero_shot.instruct import encode_pictures, instruct
from ..sampling.zero_shot.instruct_config import InstructConfig
from ..sampling.zero_shot.motion_field import MotionField
from ..tuning.motion import Motion
from ..video.clip import read_clip
from ..video.mask import read_mask_of_size
from .controls import add_named_controls
from .inputs import check_room, encode, load_model, strengths_of, tell_estimate, tell_time, tuned_unet
from .needs import GENERATE_NEEDS, check_needs
from .options.settings import read_clip_config, read_settings
from .options.zero_shot import FPS
from .progress import counted_by, progress_bar, tell
from .video_files import asked_settings, prepare_videos, write_videos


def run_generate(args: argparse.Namespace) -> None:
    """Makes one video per prompt and writes the videos, named after their prompts."""
    if args.sampler is not None:
        raise ConfigError(
            got="--sampler without --lavie", expected="both, or neither", mend="Add --lavie FILE, or leave it out."
        )
    check_needs(args, GENERATE_NEEDS)
    if args.motion and "attention" in args.given:
        raise ConfigError(
            got="--attention with --motion",
            expected="one of them: a motion attends as it was tuned",
            mend="Leave one out.",
        )
    config, field = read_settings(args, ZeroShotConfig), read_camera(args)
    motion = Motion.load(args.motion) if args.motion else None
    tuned = None if motion is None else motion.info
    fps = args.fps if args.fps is not None else (tuned and tuned.fps) or FPS
    paths = prepare_videos(args, fps, height=config.height, width=config.width)
    foreground = read_foreground(args.foreground, config)
    checkpoint = load_model(args)
    told, avoided = encode(args, checkpoint, args.prompt), encode(args, checkpoint, args.negative)
    shape = torch.empty((1, LATENT_CHANNELS, config.num_frames, *config.latent_size), device="meta")
    denoiser = add_named_controls(args, load_untuned(args, checkpoint, motion), shape, tuned)
    at_once = min(config.chunk_size, config.num_frames)
    check_room(denoiser, shape[:, :, :at_once], guided=config.guidance_scale > 1)
    tell_time_of_plan(denoiser, told, config, moved=field is not None, smoothed=foreground is not None)
    with progress_bar("generate", 0) as bar:
        latents = generate(
            denoiser, told, avoided, config=config, motion=field, foreground=foreground, on_step=counted_by(bar)
        )
    how = {"attention": args.attention} if motion is None else strengths_of(args)
    about = {**asked_settings(args), **how, **dataclasses.asdict(config), **camera_of(args), "negative": args.negative}
    for path in write_videos(args, paths, checkpoint, latents, fps=fps, about=about):
        print(path)


def run_instruct(args: argparse.Namespace) -> None:
    """Edits a clip as each instruction says and writes the videos, named after the instructions."""
    config = read_settings(args, InstructConfig)
    clip = read_clip(args.clip, read_clip_config(args))
    fps = clip.fps if args.fps is None else args.fps
    paths = prepare_videos(args, fps, height=clip.frames.shape[1], width=clip.frames.shape[2])
    checkpoint = load_model(args, takes_pictures=True)
    told, avoided = encode(args, checkpoint, args.prompt), encode(args, checkpoint, args.negative)
    tell(f"encoding {clip.num_frames} frames")
    pictures = encode_pictures(checkpoint.vae, clip.frames)
    denoiser = load_untuned(args, checkpoint, None)
    # Three predictions at once: as for a guided batch, and half as much again.
    seen = pictures.repeat(3, 2, 1, 1, 1)
    check_room(denoiser, seen, guided=False)
    tell_time(denoiser, seen, told, {False: config.num_steps * len(told)})
    videos = []
    with progress_bar("instruct", config.num_steps * len(told)) as bar:
        for one in told:
            videos.append(instruct(denoiser, pictures, one, avoided, config=config, on_step=lambda *_: bar.update()))
    told_of = {"clip": args.clip.name, "attention": args.attention, "negative": args.negative}
    about = {**asked_settings(args), **dataclasses.asdict(config), **told_of}
    for path in write_videos(args, paths, checkpoint, torch.cat(videos), fps=fps, about=about):
        print(path)


def tell_time_of_plan(
    denoiser: Denoiser, told: Conditioning, config: ZeroShotConfig, *, moved: bool, smoothed: bool
) -> None:
    """Says about how long `generate` will take, unless it has only a few steps."""
    plan = Plan.make(denoiser.schedule, config, moved=moved and config.num_frames > 1, smoothed=smoothed)
    videos, size = 1 + (config.guidance_scale > 1), (*config.latent_size,)
    runs = [(len(told) * number, (videos, LATENT_CHANNELS, frames, *size)) for number, frames in plan.runs() if number]
    tell_estimate(estimate_runs(denoiser, runs, told, num_steps=len(told) * plan.count_steps()))


def load_untuned(args: argparse.Namespace, checkpoint: Checkpoint, motion: Motion | None) -> UNetDenoiser:
    """The checkpoint's UNet with attention across frames, or a tuned one if there is a motion."""
    if motion is None:
        modes = {"attention": args.attention, "backend": args.backend}
        unet = InflatedUNet.from_2d(checkpoint.unet, temporal=False, **modes)
    else:
        unet = tuned_unet(args, checkpoint, motion)
    return UNetDenoiser(unet=unet, schedule=checkpoint.schedule)


def camera_of(args: argparse.Namespace) -> dict[str, Any]:
    """The camera's options that were given."""
    given = {name: getattr(args, name) for name in ("move", "zoom", "turn", "path")}
    return {name: value for name, value in given.items() if value is not None}


def read_camera(args: argparse.Namespace) -> MotionField | None:
    """The motion field that the options ask for; None if there are none.

    Raises:
        ConfigError: a point of the path is not two numbers.
    """
    given = camera_of(args)
    if not given:
        return None
    if "path" in given:
        given["path"] = [read_point(text) for text in given["path"]]
    if "move" in given:
        given["move"] = tuple(given["move"])
    return MotionField(**given)


def read_point(text: str) -> tuple[float, float]:
    """A point "X,Y" of a path."""
    try:
        x, y = map(float, text.split(","))
    except ValueError as error:
        raise ConfigError(
            got=f"the point {text!r} in --path",
            expected="two numbers with a comma between them, such as 40,-12",
            mend="Give the points one after the other: --path 0,0 40,-12 80,0.",
        ) from error
    return x, y


def read_foreground(path: Path | None, config: ZeroShotConfig) -> Tensor | None:
    """The mask of what moves by itself, one for each frame."""
    if path is None:
        return None
    mask = read_mask_of_size(path, config.num_frames, config.width, config.height)
    return mask.expand(config.num_frames, -1, -1)
