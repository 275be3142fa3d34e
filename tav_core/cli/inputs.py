"""Loads what the commands work on: models and starts, as the options say."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.file_kinds import SAFETENSORS, find_kind
from ..checkpoints.load import Checkpoint, load_checkpoint
from ..checkpoints.lora import Lora, apply_loras, load_lora
from ..checkpoints.refusals import wrong_family
from ..denoisers.denoiser import Denoiser, UNetDenoiser
from ..denoisers.residuals import ReadyControlNet
from ..denoisers.windows import ContextWindows, WindowedDenoiser
from ..errors import CheckpointError, ConfigError, MotionError
from ..layouts import VAE_FACTOR
from ..models.conditioning import Conditioning
from ..models.devices import choose_dtype, find_device
from ..models.latents import LatentMoments, encode_frames
from ..models.memory import check_sampling
from ..models.schedule import gaussian_noise
from ..models.step_time import TimeEstimate
from ..models.text import encode_prompt
from ..models.unet import InflatedUNet
from ..models.unet_inputs import picture_sizes
from ..models.unsupported import INSTRUCT
from ..sampling.blend import blend
from ..sampling.config import EditConfig, InjectionConfig
from ..sampling.edit import check_same_steps
from ..sampling.free_noise import free_noise
from ..sampling.injection import InjectedDenoiser
from ..sampling.samplers import check_scheduler, unfit_scheduler
from ..sampling.step_time import Predictions, estimate_sampling_time, find_unet, shapes_of_step
from ..sampling.stretch import stretch
from ..sampling.trajectory import Trajectory
from ..tensor_files import load_header
from ..tuning.motion import Motion
from ..tuning.motion_info import MotionInfo, is_motion
from ..video.clip import VideoClip
from .controls import add_named_controls
from .flow import guide_by_flow
from .options import read_clip_config, read_settings
from .progress import tell


def load_model(args: argparse.Namespace, *, precision: str = "fp16", takes_pictures: bool = False) -> Checkpoint:
    """Loads the checkpoint; on a GPU in the precision used for computing, unless --dtype says otherwise.

    Args:
        takes_pictures: whether it should be InstructPix2Pix's.

    Raises:
        CheckpointError: it is InstructPix2Pix's and should not be, or the reverse.
    """
    loras = read_loras(getattr(args, "lora", []))
    tell(f"reading {args.model}")
    checkpoint = load_checkpoint(
        args.model,
        dtype=choose_dtype(args.device, args.dtype, precision=precision),
        device=find_device(args.device),
        prediction_type=args.prediction_type,
        tokenizer=args.tokenizer,
        vae=args.vae,
    )
    if checkpoint.takes_pictures and not takes_pictures:
        raise wrong_family(checkpoint.path, INSTRUCT, mend="Use it with the command instruct.")
    if takes_pictures and not checkpoint.takes_pictures:
        raise CheckpointError(
            got=f"a text-to-image checkpoint: {checkpoint.path}",
            expected="an InstructPix2Pix checkpoint, such as timbrooks/instruct-pix2pix, whose UNet sees a picture",
            mend="Choose such a one, or use tune and edit with this one.",
        )
    return apply_loras(checkpoint, loras)


def read_loras(given: Sequence[str]) -> list[Lora]:
    """The LoRAs that --lora names, each FILE or FILE:SCALE."""
    loras = []
    for text in given:
        path, scale = split_scale(text)
        lora = load_lora(path, scale)
        tell(f"LoRA {path.name} at {scale:g}: {len(lora.file.layers)} layers")
        loras.append(lora)
    return loras


def split_scale(text: str) -> tuple[Path, float]:
    """The file and the scale of FILE:SCALE; 1 without a scale. Names of files may have colons, as on Windows C:/.

    Raises:
        ConfigError: what stands behind the last colon is no number.
    """
    path, colon, scale = text.rpartition(":")
    if not colon or Path(text).exists():
        return Path(text), 1.0
    try:
        return Path(path), float(scale)
    except ValueError:
        if "/" in scale or "\\" in scale:
            return Path(text), 1.0
        raise ConfigError(
            got=f"--lora {text}, a scale of {scale!r}",
            expected="FILE or FILE:SCALE, with a number such as 0.8",
            mend="Check the path and the number.",
        ) from None


def load_start(path: Path | None) -> Motion | None:
    """The motion that a tuning starts from; None for another kind of start, or for none."""
    if path is None or not path.is_file() or find_kind(path) != SAFETENSORS:
        return None
    _, metadata = load_header(path, error=MotionError, what="a motion file (.safetensors)")
    return Motion.load(path) if is_motion(metadata) else None


def encode_clip(checkpoint: Checkpoint, clip: VideoClip) -> LatentMoments:
    """The clip's latents."""
    tell(f"encoding {clip.num_frames} frames")
    return encode_frames(checkpoint.vae, clip.frames)


def encode(args: argparse.Namespace, checkpoint: Checkpoint, prompts: str | list[str]) -> Conditioning:
    """The conditioning of prompts; they may be long if the options say so, and tune's says which size SDXL is told."""
    side = getattr(args, "told_size", 0)
    sizes = picture_sizes(side, side) if side else None
    return encode_prompt(checkpoint, prompts, long_prompts=args.long_prompts, size_ids=sizes)


def load_denoiser(
    args: argparse.Namespace,
    checkpoint: Checkpoint,
    motion: Motion,
    latents: torch.Tensor,
    paths: tuple[torch.Tensor, ...] | None = None,
) -> Denoiser:
    """The tuned model for latents `1 c f h w`, with the controls and windows that the options ask for.

    Args:
        paths: of the tokens, for an edit that is guided by flow.
    """
    tuned = UNetDenoiser(unet=tuned_unet(args, checkpoint, motion), schedule=checkpoint.schedule)
    tuned = add_named_controls(args, tuned, latents, motion.info)
    denoiser = guide_by_flow(args, tuned, paths)
    windows = load_windows(args)
    return WindowedDenoiser(denoiser=denoiser, windows=windows) if windows else denoiser


def tuned_unet(args: argparse.Namespace, checkpoint: Checkpoint, motion: Motion) -> InflatedUNet:
    """The checkpoint's UNet with a motion on it, as strong as the options say."""
    strengths = {"strength": args.strength, "temporal_strength": args.temporal_strength}
    return motion.apply_to(checkpoint.unet, **strengths, backend=args.backend)


def load_injection(
    args: argparse.Namespace, denoiser: Denoiser, start: Trajectory | torch.Tensor, checkpoint: Checkpoint
) -> Denoiser:
    """Adds injection from the trajectory to a denoiser, if the options ask for it."""
    if (config := read_injection(args)) is None:
        return denoiser
    if not isinstance(start, Trajectory):
        raise ConfigError(
            got="an injection (--inject, or --preset style) without --trajectory",
            expected="the inversion of the source, which is injected",
            mend="Run invert and give the file that it writes, or add --no-inject.",
        )
    context = encode(args, checkpoint, args.inject_prompt)
    return InjectedDenoiser(denoiser=denoiser, trajectory=start, source_context=context, config=config)


def read_injection(args: argparse.Namespace) -> InjectionConfig | None:
    """The injection that the options ask for; None for none.

    Raises:
        ConfigError: there are options of an injection, and none is asked for.
    """
    config = read_settings(args, InjectionConfig, prefix="inject-")
    if args.inject:
        return config
    # A preset may set options of an injection without asking for one.
    if args.preset is None and (config != InjectionConfig() or getattr(args, "inject_prompt", "")):
        raise ConfigError(got="--inject-* options without --inject", expected="both", mend="Add --inject.")
    return None


def check_room(denoiser: Denoiser, latents: torch.Tensor, *, guided: bool) -> None:
    """Raises before a long run, not in its middle, if memory is too small. A window also holds frame 0."""
    largest = max(shapes_of_step(denoiser, latents.shape, guided=guided), key=lambda shape: shape[2])
    inner = find_unet(denoiser)
    controlnets = any(isinstance(control, ReadyControlNet) for control in inner.controls)
    check_sampling(inner.unet, largest, guided=False, controlnets=controlnets)


def tell_time(denoiser: Denoiser, latents: torch.Tensor, context: Conditioning, predictions: Predictions) -> None:
    """Says about how long a run will take, unless it has only a few steps; see `estimate_sampling_time`."""
    tell_estimate(estimate_sampling_time(denoiser, latents.shape, context, predictions))


def tell_estimate(estimate: TimeEstimate | None) -> None:
    """Says an estimate, if there is one."""
    if estimate is not None:
        tell(f"time: {estimate}")


def load_windows(args: argparse.Namespace) -> ContextWindows | None:
    """The context windows that the options ask for; None for none."""
    if args.context_length == 0:
        return None
    return ContextWindows(length=args.context_length, overlap=args.context_overlap)


def load_trajectory(args: argparse.Namespace) -> Trajectory | None:
    """The trajectory to start from, blended and at another speed if asked for; None for a random start.

    Raises:
        ConfigError: the options do not go together, or it was inverted in another number of steps than they say.
    """
    if not args.trajectory:
        if args.noise_prior < 1:
            raise ConfigError(
                got="--noise-prior without --trajectory",
                expected="an inversion, of whose noise it takes a share",
                mend="Add --trajectory, or leave it out.",
            )
        if args.blend:
            raise ConfigError(
                got="--blend without --trajectory", expected="two trajectory files", mend="Add --trajectory."
            )
        if args.speed != 1:
            raise ConfigError(
                got="--speed without --trajectory", expected="an inversion to stretch", mend="Add --trajectory."
            )
        return None
    if args.free_noise:
        raise ConfigError(got="--free-noise with --trajectory", expected="one of the two", mend="Leave one out.")
    # It stays on the CPU, because the GPU needs only one of its steps at a time.
    start = Trajectory.load(args.trajectory)
    if args.num_steps is not None:
        check_same_steps(args.num_steps, len(start.timesteps))
    if args.blend:
        start = blend(start, Trajectory.load(args.blend), args.blend_weight)
    return start if args.speed == 1 else stretch(start, args.speed)


def random_start(
    args: argparse.Namespace, tuned: MotionInfo, config: EditConfig, checkpoint: Checkpoint
) -> torch.Tensor:
    """Random noise of the given or tuned size."""
    device = checkpoint.unet.device
    clip = read_clip_config(args, tuned)
    size = (clip.num_frames, clip.height // VAE_FACTOR, clip.width // VAE_FACTOR)
    shape = (1, checkpoint.unet.config.in_channels, *size)
    if args.free_noise:
        windows = load_windows(args) or ContextWindows()
        return free_noise(shape, config.seed, window=windows.length, stride=max(windows.overlap, 1)).to(device)
    return gaussian_noise(shape, config.seed).to(device)


def find_scheduler(name: str | None) -> Any:
    """A diffusers scheduler by its class name, with its default settings.

    Raises:
        ConfigError: diffusers has none of this name, or it needs what is not here, or it does not fit.
    """
    if name is None:
        return None
    import diffusers

    made = getattr(diffusers, name, None)
    if not isinstance(made, type) or not name.endswith("Scheduler"):
        raise ConfigError(
            got=f"scheduler {name!r}",
            expected="a scheduler class of diffusers, such as EulerDiscreteScheduler",
            mend="Check the spelling, or leave it out for DDIM.",
        )
    try:
        scheduler = made()
    # Those of other models need arguments, and some need packages of their own.
    except (ImportError, TypeError) as error:
        why = " ".join(str(error).split())
        raise unfit_scheduler(f"scheduler {name}, which cannot be made here ({why})") from error
    check_scheduler(scheduler)
    return scheduler


def source_prompt(tuned: MotionInfo) -> str:
    """The prompt that a motion was tuned under.

    Raises:
        ConfigError: the motion holds no prompt, for example because it was imported.
    """
    if not tuned.prompt:
        raise ConfigError(
            got="a motion file that does not hold its prompt",
            expected="a motion that was tuned with this library",
            mend="Give the prompt yourself: with --prompt to invert, with --negative to edit.",
        )
    return tuned.prompt
