"""Loads what the commands work on: models, prompts and context windows, as the options say."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..checkpoints.file_kinds import SAFETENSORS, find_kind
from ..checkpoints.load import Checkpoint, load_checkpoint
from ..checkpoints.lora import Lora, apply_loras, load_lora
from ..checkpoints.refusals import wrong_family
from ..denoisers.denoiser import Denoiser, UNetDenoiser
from ..denoisers.residuals import ReadyControlNet
from ..denoisers.windows import ContextWindows, WindowedDenoiser
from ..errors import CheckpointError, ConfigError, MotionError
from ..models.conditioning import Conditioning
from ..models.devices import choose_dtype, find_device
from ..models.latents import LatentMoments, encode_frames, pad_to_factor
from ..models.memory import check_sampling
from ..models.step_time import TimeEstimate
from ..models.text import encode_prompt
from ..models.unet import InflatedUNet
from ..models.unet_inputs import picture_sizes
from ..models.unsupported import INSTRUCT
from ..sampling.config import InjectionConfig
from ..sampling.injection import InjectedDenoiser
from ..sampling.step_time import Predictions, estimate_sampling_time, find_unet, shapes_of_step
from ..sampling.trajectory import Trajectory
from ..tensor_files import load_header
from ..tuning.motion import Motion
from ..tuning.motion_info import MotionInfo, read_info
from ..video.clip import VideoClip
from .controls import add_named_controls
from .flow import guide_by_flow
from .info import describe_own_file
from .options.settings import fit_overlap, read_settings
from .options.tune import DEFAULT_MODES
from .progress import tell

if TYPE_CHECKING:
    from .options.settings import ReadAs


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


def read_start(path: Path | None) -> MotionInfo | None:
    """What the motion that a tuning starts from says of itself, from its header alone; None for another kind of start,
    or for none.

    Raises:
        MotionError: it is something else of this library's, or a folder that a motion is in.
    """
    if path is None:
        return None
    inside = path / "motion.safetensors"
    if path.is_dir() and inside.is_file():
        raise no_start(f"the folder {path.name}", f"Give {inside}.")
    if not path.is_file() or find_kind(path) != SAFETENSORS:
        return None
    kind = (describe_own_file(path) or {}).get("kind")
    if kind not in (None, "motion"):
        raise no_start(f"{path.name}, a {kind}", "Give the motion.safetensors of that run.")
    return read_info(path, load_header(path, error=MotionError, what="a motion file")[1]) if kind else None


def no_start(got: str, mend: str) -> MotionError:
    """What is said of something else than a motion to start from."""
    return MotionError(got=f"{got}, to start from", expected="a motion file, or lavie_interpolation.pt", mend=mend)


def read_modes(args: argparse.Namespace, start: MotionInfo | None) -> dict[str, Any]:
    """How to inflate the UNet that is tuned: as the options say, else as the start was, else by default."""
    known = {} if start is None else start.all_modes
    said = {name: value for name in DEFAULT_MODES if (value := getattr(args, name)) is not None}
    return {**DEFAULT_MODES, **known, **said}


def encode_clip(checkpoint: Checkpoint, clip: VideoClip) -> LatentMoments:
    """The clip's latents. A side that is no multiple of the VAE's factor is filled up with repeated pixels."""
    tell(f"encoding {clip.num_frames} frames")
    return encode_frames(checkpoint.vae, pad_to_factor(clip.frames))


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
    *,
    read_as: ReadAs | None,
) -> Denoiser:
    """The tuned model for latents `1 c f h w`, with the controls and windows that the options ask for.

    Args:
        paths: of the tokens, for an edit that is guided by flow.
        read_as: how the clip of the latents was read, and so the videos of its controls; None for from its beginning.
    """
    tuned = UNetDenoiser(unet=tuned_unet(args, checkpoint, motion), schedule=checkpoint.schedule)
    tuned = add_named_controls(args, tuned, latents, read_as)
    denoiser = guide_by_flow(args, tuned, paths)
    return in_windows(args, denoiser)


def in_windows(args: argparse.Namespace, denoiser: Denoiser) -> Denoiser:
    """A denoiser that goes through long clips in the windows that the options ask for."""
    windows = load_windows(args)
    return WindowedDenoiser(denoiser=denoiser, windows=windows) if windows else denoiser


def tuned_unet(args: argparse.Namespace, checkpoint: Checkpoint, motion: Motion) -> InflatedUNet:
    """The checkpoint's UNet with a motion on it, as strong as the options say."""
    return motion.apply_to(checkpoint.unet, **strengths_of(args), backend=args.backend)


def strengths_of(args: argparse.Namespace) -> dict[str, float]:
    """How strongly a motion acts."""
    return {name: getattr(args, name) for name in ("strength", "temporal_strength")}


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
    fit_overlap(args, "context_length", "context_overlap")
    return ContextWindows(length=args.context_length, overlap=args.context_overlap)


def source_prompt(tuned: MotionInfo) -> str:
    """The prompt that a motion was tuned under.

    Raises:
        ConfigError: the motion holds no prompt, for example because it was imported.
    """
    if not tuned.prompt:
        raise ConfigError(
            got="a motion file that does not hold its prompt",
            expected="a motion that was tuned on one clip, with this library",
            mend="Give the prompt yourself: with --prompt to invert, with --negative to edit.",
        )
    return tuned.prompt
