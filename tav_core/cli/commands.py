"""The commands of the command line: each reads files, runs one stage and writes files."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import torch

from ..checkpoints.lavie import start_from
from ..checkpoints.load import Checkpoint
from ..denoisers.denoiser import Denoiser, UNetDenoiser
from ..denoisers.merged_tokens import merge_tokens
from ..errors import ConfigError
from ..evaluation.compare_inversions import compare_methods, format_table, write_reports
from ..evaluation.reconstruct import psnr, reconstruct
from ..layouts import VAE_FACTOR
from ..models.conditioning import Conditioning
from ..models.devices import find_device
from ..models.latents import decode_latents
from ..models.unet import InflatedUNet
from ..sampling.config import EditConfig, InvertConfig
from ..sampling.edit import check_resample, edit
from ..sampling.invert import invert
from ..sampling.step_time import count_edit, count_inversion
from ..sampling.trajectory import READ_AS, Trajectory
from ..tuning.config import TuneConfig
from ..tuning.motion import Motion
from ..tuning.tune import tune
from ..video.clip import VideoClip, read_clip
from .early_stop import read_early_stop
from .flow import check_flow, measure_paths
from .inputs import (
    check_room,
    encode,
    encode_clip,
    load_denoiser,
    load_injection,
    load_model,
    read_modes,
    read_start,
    source_prompt,
    tell_time,
)
from .local_edit import load_local_edit
from .local_prompts import load_local_prompts
from .needs import TUNE_NEEDS, check_edit_needs, check_needs
from .options.settings import read_clip_config, read_settings
from .progress import progress_bar
from .signals import raise_between_steps
from .starts import find_scheduler, load_trajectory, random_start
from .tuning_bar import TuningBar
from .video_files import edit_settings, prepare_videos, write_videos


def run_tune(args: argparse.Namespace) -> None:
    """Tunes on a clip and writes `motion.safetensors` and `state.safetensors` into the output folder."""
    check_needs(args, TUNE_NEEDS)
    config = read_settings(args, TuneConfig)
    # First what is quick to check: a checkpoint has gigabytes.
    clip = read_clip(args.clip, read_clip_config(args))
    known = read_start(args.start_from)
    start = Motion.load(args.start_from) if known else None
    checkpoint = load_model(args, precision=config.precision)
    context = encode(args, checkpoint, args.prompt)
    unet = InflatedUNet.from_2d(checkpoint.unet, **read_modes(args, known), backend=args.backend)
    denoiser = UNetDenoiser(unet=unet, schedule=checkpoint.schedule)
    if args.start_from and start is None:
        start_from(denoiser.unet, args.start_from)
    latents = encode_clip(checkpoint, clip)
    with raise_between_steps() as check:
        early_stop = read_early_stop(args, checkpoint, latents.mean, check)
        with TuningBar(config.num_steps, check) as bar:
            motion = tune(
                denoiser,
                latents,
                context,
                config=config,
                state_path=args.out / "state.safetensors",
                about=clip.info(args.prompt),
                on_step=bar,
                early_stop=early_stop,
                start=start,
            )
    for step, score in early_stop.scores.items() if early_stop else ():
        print(f"{step:>8} steps  {score:+.2f}{'  kept' * (step == motion.info.steps_done)}")
    print(motion.save(args.out / "motion.safetensors"))


def run_invert(args: argparse.Namespace) -> None:
    """Inverts a clip under a motion and writes the trajectory."""
    denoiser, checkpoint, clip, latents, context = load_inversion(args)
    check_room(denoiser, latents, guided=False)
    inversion = InvertConfig(method=args.method, iterations=args.iterations)
    predictions = count_inversion(inversion, args.num_steps)
    predictions[False] += args.num_steps * args.check
    tell_time(denoiser, latents, context, predictions)
    with progress_bar("invert", args.num_steps) as bar:
        trajectory = invert(
            denoiser,
            latents,
            context,
            num_steps=args.num_steps,
            method=args.method,
            iterations=args.iterations,
            fps=clip.fps,
            store="cpu",
            on_step=lambda done, total: bar.update(done - bar.n),
        )
    read_as = {name: getattr(clip.config, name) for name in READ_AS}
    trajectory = replace(trajectory, **read_as)
    print(trajectory.save(args.out))
    if args.check:
        print_reconstruction(denoiser, trajectory, context, checkpoint, clip)


def run_reconstruct(args: argparse.Namespace) -> None:
    """Prints how much of a clip each inversion method gives back, and writes the same as JSON."""
    denoiser, checkpoint, _, latents, context = load_inversion(args)
    check_room(denoiser, latents, guided=False)
    with progress_bar("reconstruct", 2 * args.num_steps * len(args.methods)) as bar:
        reports = compare_methods(
            denoiser,
            latents,
            context,
            lambda latents: decode_latents(checkpoint.vae, latents)[0],
            num_steps=args.num_steps,
            methods=args.methods,
            iterations=args.iterations,
            on_step=bar.update,
        )
    print(format_table(reports))
    if args.out:
        print(write_reports(args.out, reports, num_steps=args.num_steps))


def load_inversion(
    args: argparse.Namespace,
) -> tuple[Denoiser, Checkpoint, VideoClip, torch.Tensor, Conditioning]:
    """The tuned model, its checkpoint, the clip, its latents, and the prompt to invert under."""
    motion = Motion.load(args.motion)
    prompt = source_prompt(motion.info) if args.source_prompt else args.prompt
    clip = read_clip(args.clip, read_clip_config(args, motion.info))
    checkpoint = load_model(args)
    context = encode(args, checkpoint, prompt)
    latents = encode_clip(checkpoint, clip).mean
    denoiser = load_denoiser(args, checkpoint, motion, latents, read_as=motion.info)
    return denoiser, checkpoint, clip, latents, context


def print_reconstruction(
    denoiser: Denoiser, trajectory: Trajectory, context: Conditioning, checkpoint: Checkpoint, clip: VideoClip
) -> None:
    """Samples the clip back and prints how near it comes, and how near the VAE alone comes."""
    with progress_bar("check", len(trajectory.timesteps)) as bar:
        back = reconstruct(denoiser, trajectory, context, on_step=lambda done, total, latents: bar.update(done - bar.n))
    for name, latents in {"reconstruction": back.latents, "VAE alone": trajectory.latents[0]}.items():
        frames = decode_latents(checkpoint.vae, latents)[0]
        print(f"{name:>14}  {psnr(frames, clip.frames):.1f} dB")
    print(f"{'latents':>14}  {back.error:.1%} off")


def check_edit(args: argparse.Namespace) -> None:
    """Raises `ConfigError` if an edit of a trajectory lacks its motion, or has what belongs to an animation."""
    if args.motion is None:
        raise ConfigError(
            got="edit without --motion",
            expected="the motion file that tune wrote",
            mend="Add --motion, or start from an animation with --animation, which needs none.",
        )
    if args.animation_mask is not None:
        raise ConfigError(
            got="--animation-mask without --animation",
            expected="the animation that the mask came with",
            mend="Add --animation; to edit inside a mask, use --mask.",
        )


def run_edit(args: argparse.Namespace) -> None:
    """Renders one video per prompt and writes the videos, named after their prompts."""
    check_edit(args)
    check_flow(args)
    check_edit_needs(args)
    scheduler = find_scheduler(args.scheduler)
    motion, trajectory = Motion.load(args.motion), load_trajectory(args)
    if trajectory is not None:
        args.num_steps = len(trajectory.timesteps)
    config = read_settings(args, EditConfig)
    check_resample(config, masked=args.mask is not None, ddim=scheduler is None)
    checkpoint = load_model(args)
    negative = source_prompt(motion.info) if args.negative_source else args.negative
    told, avoided = encode(args, checkpoint, args.prompt), encode(args, checkpoint, negative)
    start = random_start(args, motion.info, config, checkpoint) if trajectory is None else trajectory
    read_as = trajectory if trajectory is not None and trajectory.stride else motion.info
    local = load_local_edit(args, read_as, start, checkpoint.vae)
    prompts = load_local_prompts(args, read_as, start, checkpoint, source=local.source if local else None)
    known = (start.fps if isinstance(start, Trajectory) else 0) or motion.info.fps or 8.0
    fps = known if args.fps is None else args.fps
    noise = start.noise if isinstance(start, Trajectory) else start
    height, width = (VAE_FACTOR * side for side in noise.shape[-2:])
    paths = prepare_videos(args, fps, height=height, width=width)
    followed = measure_paths(args, start, checkpoint.vae)
    denoiser = load_denoiser(args, checkpoint, motion, noise, followed, read_as=read_as)
    denoiser = load_injection(args, denoiser, start, checkpoint)
    # Here and not by `edit`, so that the estimates are of the same model.
    merged = merge_tokens(denoiser, config.merge_tokens)
    # With local prompts, a guided step predicts one video at a time.
    check_room(merged, noise, guided=config.guidance_scale > 1 and not prompts)
    tell_time(merged, noise, told, count_edit(merged, config, num_prompts=len(told), num_local=len(prompts)))
    with progress_bar("edit", config.num_steps * len(args.prompt)) as bar:
        latents = edit(
            merged,
            start,
            told,
            avoided,
            config=replace(config, merge_tokens=0.0),
            scheduler=scheduler,
            num_frames=args.num_frames,
            on_step=lambda done, total, latents: bar.update(done - bar.n),
            correct=local.correct if local else None,
            local=prompts,
        )
    about = edit_settings(args, config)
    done = {"finish": local.finish} if local else {}
    for path in write_videos(args, paths, checkpoint, latents, fps=fps, about=about, **done):
        print(path)


def run_report(args: argparse.Namespace) -> None:
    """Measures videos and writes a page that shows them with their scores."""
    from ..metrics.scores import format_scores
    from .report import make_report

    videos, page = make_report(args, find_device(args.device))
    for video in videos:
        assert video.scores is not None, "make_report measures every video"
        print(f"{video.label}\n{format_scores(video.scores.values)}\n")
    print(page)


def run_info(args: argparse.Namespace) -> None:
    """Prints what a file or folder is, and loads no more of it than needed."""
    from .info import describe

    for name, value in describe(args.path, vae=args.vae).items():
        print(f"{name:>14}  {printable(value)}")


def printable(value: Any) -> str:
    """A value from a file as text without control characters, which every terminal and encoding can show."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))
