"""What each command of the command line does: files in, one stage, files out."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import torch

from .blend import blend
from .checkpoints import Checkpoint, load_checkpoint
from .cli import read_settings
from .denoiser import Denoiser, UNetDenoiser
from .early_stop_command import read_early_stop
from .edit import edit
from .edit_config import EditConfig
from .errors import ConfigError
from .free_noise import free_noise
from .invert import Trajectory, invert
from .latents import decode_latents, encode_frames
from .layouts import VAE_FACTOR
from .local_edit_command import load_local_edit
from .memory import check_sampling
from .precision import DTYPES, resolve_precision
from .progress import progress_bar, raise_between_steps
from .reconstruct import psnr, reconstruct
from .reconstruct_report import compare_methods, format_table, write_reports
from .schedule import gaussian_noise
from .text import encode_prompt
from .tune import TuneProgress, tune
from .tune_config import TuneConfig
from .unet import InflatedUNet
from .video import VideoClip, read_clip, write_video
from .weights import Motion, MotionInfo
from .windows import ContextWindows, WindowedDenoiser


def run_tune(args: argparse.Namespace) -> None:
    """Tunes on a clip and writes `motion.safetensors` and `state.safetensors` into the output folder."""
    config = read_settings(args, TuneConfig)
    checkpoint, clip = load_model(args, precision=config.precision), load_clip(args)
    modes = {"attention": args.attention, "group_norm": args.group_norm, "backend": args.backend}
    denoiser = UNetDenoiser(
        unet=InflatedUNet.from_2d(checkpoint.unet, **modes, seed=config.seed), schedule=checkpoint.schedule
    )
    latents = encode_frames(checkpoint.vae, clip.frames)
    early_stop = read_early_stop(args, checkpoint, latents.mean)
    with progress_bar("tune", config.num_steps) as bar, raise_between_steps() as check:

        def on_step(progress: TuneProgress) -> None:
            if bar.n == 0:
                bar.write(f"memory: {progress.plan}", file=sys.stderr)
            bar.set_postfix(loss=f"{progress.loss:.4f}", lr=f"{progress.learning_rate:.1e}", refresh=False)
            bar.update(progress.step - bar.n)
            check()
            if early_stop is not None:
                early_stop(progress)

        motion = tune(
            denoiser,
            latents,
            encode_prompt(checkpoint, args.prompt),
            config=config,
            state_path=args.out / "state.safetensors",
            prompt=args.prompt,
            fps=clip.fps,
            stride=clip.stride,
            on_step=on_step,
        )
    for step, score in early_stop.scores.items() if early_stop else ():
        print(f"{step:>8} steps  {score:+.2f}{'  kept' * (step == motion.info.steps_done)}")
    print(motion.save(args.out / "motion.safetensors"))


def run_invert(args: argparse.Namespace) -> None:
    """Inverts a clip under a motion and writes the trajectory."""
    denoiser, checkpoint, clip, context = load_inversion(args)
    latents = encode_frames(checkpoint.vae, clip.frames).mean
    check_room(denoiser, latents, guided=False)
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
    print(trajectory.save(args.out))
    if args.check:
        print_reconstruction(denoiser, trajectory, context, checkpoint, clip)


def run_reconstruct(args: argparse.Namespace) -> None:
    """Prints what each inversion method gives back of a clip, and writes it as JSON."""
    denoiser, checkpoint, clip, context = load_inversion(args)
    latents = encode_frames(checkpoint.vae, clip.frames).mean
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


def load_inversion(args: argparse.Namespace) -> tuple[Denoiser, Checkpoint, VideoClip, torch.Tensor]:
    """The tuned model, its checkpoint, the clip, and the embeddings of the prompt to invert under."""
    motion, checkpoint = Motion.load(args.motion), load_model(args)
    clip = load_clip(args, motion.info)
    prompt = source_prompt(motion.info) if args.source_prompt else args.prompt
    return load_denoiser(args, checkpoint, motion), checkpoint, clip, encode_prompt(checkpoint, prompt)


def source_prompt(tuned: MotionInfo) -> str:
    """The prompt that a motion was tuned under.

    Raises:
        ConfigError: it says none, as one that was imported.
    """
    if not tuned.prompt:
        raise ConfigError(
            got="a motion that does not say its prompt",
            expected="one that was tuned here",
            mend="Give the prompt: --prompt to invert under it, --negative to edit.",
        )
    return tuned.prompt


def print_reconstruction(
    denoiser: Denoiser, trajectory: Trajectory, context: torch.Tensor, checkpoint: Checkpoint, clip: VideoClip
) -> None:
    """Says how near sampling comes back to the clip, beside what the VAE alone loses."""
    with progress_bar("check", len(trajectory.timesteps)) as bar:
        back = reconstruct(denoiser, trajectory, context, on_step=lambda done, total, latents: bar.update(done - bar.n))
    for name, latents in {"reconstruction": back.latents, "VAE alone": trajectory.latents[0]}.items():
        frames = decode_latents(checkpoint.vae, latents)[0]
        print(f"{name:>14}  {psnr(frames, clip.frames):.1f} dB")
    print(f"{'latents':>14}  {back.error:.1%} off")


def run_edit(args: argparse.Namespace) -> None:
    """Renders a video for each prompt and writes them, named by their prompts."""
    config, scheduler = read_settings(args, EditConfig), find_scheduler(args.scheduler)
    motion, checkpoint = Motion.load(args.motion), load_model(args)
    negative = source_prompt(motion.info) if args.negative_source else args.negative
    start = load_start(args, motion.info, config, checkpoint)
    local = load_local_edit(args, motion.info, start, checkpoint.vae)
    fps = args.fps or (start.fps if isinstance(start, Trajectory) else 0) or motion.info.fps or 8.0
    denoiser = load_denoiser(args, checkpoint, motion)
    check_room(denoiser, start.noise if isinstance(start, Trajectory) else start, guided=config.guidance_scale > 1)
    with progress_bar("edit", config.num_steps * len(args.prompt)) as bar:
        latents = edit(
            denoiser,
            start,
            encode_prompt(checkpoint, args.prompt),
            encode_prompt(checkpoint, negative),
            config=config,
            scheduler=scheduler,
            num_frames=args.num_frames,
            on_step=lambda done, total, latents: bar.update(done - bar.n),
            correct=local and local.correct,
        )
    for path, video in zip(name_videos(args), latents.split(1), strict=True):
        frames = decode_latents(checkpoint.vae, video)[0]
        print(write_video(path, local.finish(frames) if local else frames, fps=fps))


def run_report(args: argparse.Namespace) -> None:
    """Measures videos and writes a page with them and their scores."""
    from .metrics.names import format_scores
    from .report_command import make_report

    videos, page = make_report(args, args.device or best_device())
    for video in videos:
        print(f"{video.label}\n{format_scores(video.scores.values)}\n")
    print(page)


def run_info(args: argparse.Namespace) -> None:
    """Prints what a file or folder is, without loading more of it than needed."""
    from .info import describe

    for name, value in describe(args.path).items():
        print(f"{name:>14}  {value}")


def load_model(args: argparse.Namespace, *, precision: str = "fp16") -> Checkpoint:
    """The checkpoint; on a GPU in the precision that is computed in, unless the user says otherwise."""
    device = args.device or best_device()
    own = torch.float32 if device == "cpu" else resolve_precision(precision, torch.device(device), torch.float32)
    return load_checkpoint(
        args.model,
        dtype=DTYPES[args.dtype] if args.dtype else own,
        device=device,
        prediction_type=args.prediction_type,
        tokenizer=args.tokenizer,
    )


def load_denoiser(args: argparse.Namespace, checkpoint: Checkpoint, motion: Motion) -> Denoiser:
    strengths = {"strength": args.strength, "temporal_strength": args.temporal_strength}
    unet = motion.apply_to(checkpoint.unet, **strengths, backend=args.backend)
    denoiser = UNetDenoiser(unet=unet, schedule=checkpoint.schedule)
    windows = load_windows(args)
    return WindowedDenoiser(denoiser=denoiser, windows=windows) if windows else denoiser


def check_room(denoiser: Denoiser, latents: torch.Tensor, *, guided: bool) -> None:
    """Says before a long run, not in its middle, that memory will not do; a window has frame 0 in front."""
    shape = list(latents.shape)
    if isinstance(denoiser, WindowedDenoiser):
        shape[2] = min(shape[2], denoiser.windows.length + 1)
        denoiser = denoiser.denoiser
    check_sampling(denoiser.unet, shape, guided=guided)


def load_windows(args: argparse.Namespace) -> ContextWindows | None:
    """The context windows, if any are asked for."""
    if args.context_length == 0:
        return None
    return ContextWindows(length=args.context_length, overlap=args.context_overlap)


def load_clip(args: argparse.Namespace, tuned: MotionInfo | None = None) -> VideoClip:
    """Reads the clip: by the options given, else as the motion was tuned, else by `read_clip`'s defaults."""
    names = ("start", "stride", "num_frames", "width", "height", "fit")
    options = {name: getattr(tuned, name, None) or None for name in names} if tuned else {}
    options |= {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return read_clip(args.clip, **{name: value for name, value in options.items() if value is not None})


def load_start(
    args: argparse.Namespace, tuned: MotionInfo, config: EditConfig, checkpoint: Checkpoint
) -> Trajectory | torch.Tensor:
    """The trajectory, with another blended in if asked for, or random noise of the size asked for or tuned on."""
    device = checkpoint.unet.device
    if args.trajectory:
        start = Trajectory.load(args.trajectory)
        return (blend(start, Trajectory.load(args.blend), args.blend_weight) if args.blend else start).to(device)
    if args.blend:
        raise ConfigError(got="--blend without --trajectory", expected="two files of invert", mend="Give --trajectory.")
    num_frames, width, height = (getattr(args, n) or getattr(tuned, n) for n in ("num_frames", "width", "height"))
    shape = (1, checkpoint.unet.config.in_channels, num_frames, height // VAE_FACTOR, width // VAE_FACTOR)
    if args.free_noise:
        windows = load_windows(args) or ContextWindows()
        return free_noise(shape, config.seed, window=windows.length, stride=max(windows.overlap, 1)).to(device)
    return gaussian_noise(shape, config.seed).to(device)


def find_scheduler(name: str | None) -> Any:
    """A diffusers scheduler by its class name, with its default settings."""
    if name is None:
        return None
    import diffusers

    scheduler = getattr(diffusers, name, None)
    if not hasattr(scheduler, "set_timesteps"):
        raise ConfigError(
            got=f"scheduler {name!r}",
            expected="a scheduler class of diffusers, as in EulerDiscreteScheduler",
            mend="Check the spelling, or leave it out for DDIM.",
        )
    return scheduler()


def name_videos(args: argparse.Namespace) -> list[Path]:
    """A path for each prompt; a prompt that comes twice, or shortens to the same name, gets a number."""
    paths: list[Path] = []
    for prompt in args.prompt:
        stem = re.sub(r"[^\w]+", "-", prompt.lower()).strip("-")[:60] or "empty-prompt"
        ending = "" if args.format == "png" else f".{args.format}"
        path, number = args.out / f"{stem}{ending}", 2
        while path in paths:
            path, number = args.out / f"{stem}-{number}{ending}", number + 1
        paths.append(path)
    return paths


def best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
