"""The commands of LaVie: `generate --lavie`, `interpolate`, `upscale`, `train-video` and `convert`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.lavie import KINDS, convert_lavie, load_lavie
from ..checkpoints.load import Checkpoint
from ..checkpoints.upscaler_parts import load_upscaler_parts
from ..denoisers.denoiser import UNetDenoiser
from ..denoisers.windows import WindowedDenoiser
from ..errors import ConfigError
from ..models.devices import choose_dtype, find_device
from ..models.families import SD1, find_family
from ..models.latents import decode_latents
from ..models.precision import DTYPES
from ..models.text import encode_prompt
from ..sampling.interpolate import FACTOR, KeyWindows, interpolate, interpolated_length
from ..sampling.keep_colors import keep_colors
from ..sampling.lavie_config import InterpolateConfig, TextToVideoConfig, UpscaleConfig
from ..sampling.text_to_video import LATENT_CHANNELS, text_to_video
from ..sampling.upscale import TIMES, in_chunks, upscale
from ..sampling.zero_shot.config import ZeroShotConfig
from ..tensor_files import save_tensors
from ..tuning.video_layers.captioned_latents import CaptionedLatents, encode_folder
from ..tuning.video_layers.config import VideoLayersConfig
from ..tuning.video_layers.processes import Processes, join_processes
from ..tuning.video_layers.train import train_video_layers
from ..video.watermark import check_size
from ..video.write import write_video
from .controls import add_named_controls
from .inputs import check_room, encode, encode_clip, load_model, tell_time
from .options.settings import fit_overlap, read_settings
from .options.zero_shot import FPS
from .progress import counted_by, progress_bar, tell
from .signals import raise_between_steps
from .tuning_bar import training_bar
from .video_files import check_file, describe_making, prepare_videos, write_videos
from .whole_clip import read_whole
from .zero_shot import camera_of

# Options of `generate` that have no meaning for a video model.
ONLY_WITHOUT = ("motion", "foreground", "move", "zoom", "turn", "path")
# Those of them that have a value if they are not given.
WITH_DEFAULTS = {
    "attention": "first",
    "strength": 1.0,
    "temporal_strength": 1.0,
    **{
        field.name: field.default
        for field in dataclasses.fields(ZeroShotConfig)
        if field.name in ("t0", "t1", "chunk_size", "smoothing")
    },
}
# What the names of results end in.
INTERPOLATED, UPSCALED = "interpolated", "x4"


def run_generate(args: argparse.Namespace) -> None:
    """Makes one video per prompt with LaVie's base, and writes the videos, named after their prompts."""
    check_alone(args)
    config, fps = read_settings(args, TextToVideoConfig), FPS if args.fps is None else args.fps
    paths = prepare_videos(args, fps, height=config.height, width=config.width)
    checkpoint = load_model(args)
    told, avoided = encode(args, checkpoint, args.prompt), encode(args, checkpoint, args.negative)
    shape = torch.empty((1, LATENT_CHANNELS, config.num_frames, *config.latent_size), device="meta")
    denoiser = add_named_controls(args, load_video_model(args, checkpoint, "base"), shape, None)
    check_room(denoiser, shape, guided=config.guidance_scale > 1)
    tell_time(denoiser, shape, told, {config.guidance_scale > 1: config.num_steps * len(told)})
    with progress_bar("generate", 0) as bar:
        latents = text_to_video(denoiser, told, avoided, config=config, on_step=counted_by(bar))
    about = {**dataclasses.asdict(config), "negative": args.negative, "lavie": args.lavie.name}
    for path in write_videos(args, paths, checkpoint, latents, fps=fps, about=about):
        print(path)


def run_interpolate(args: argparse.Namespace) -> None:
    """Draws a clip anew with three more frames between each two, and writes it."""
    fit_overlap(args, "window", "window_overlap", lowest=1)
    config = read_settings(args, InterpolateConfig)
    clip, prompt = read_whole(args.clip, args, exact=True), args.prompt or prompt_of(args.clip)
    height, width = clip.frames.shape[1:3]
    fps = FACTOR * clip.fps if args.fps is None else args.fps
    path = prepare_video(args, INTERPOLATED, fps, height=height, width=width)
    checkpoint = load_model(args)
    told, avoided = encode(args, checkpoint, prompt + config.prompt_suffix), encode(args, checkpoint, config.negative)
    keys = encode_clip(checkpoint, clip).mean
    denoiser = load_video_model(args, checkpoint, "interpolation")
    windows = KeyWindows(keys=config.window, overlap=config.window_overlap)
    length = interpolated_length(clip.num_frames)
    shape = torch.empty((1, 2 * LATENT_CHANNELS, length, *keys.shape[3:]), device="meta")
    windowed = WindowedDenoiser(denoiser=denoiser, windows=windows, anchored=False)
    check_room(windowed, shape, guided=config.guidance_scale > 1)
    tell_time(windowed, shape, told, {config.guidance_scale > 1: config.num_steps})
    with progress_bar("interpolate", config.num_steps) as bar:
        latents = interpolate(denoiser, keys, told, avoided, config=config, on_step=counted_by(bar))
    frames = decode_latents(checkpoint.vae, latents)[0, :, :height, :width]
    write_one(path, frames, fps, config, args, prompt)


def run_upscale(args: argparse.Namespace) -> None:
    """Makes a video four times as wide and high, and writes it."""
    fit_overlap(args, "chunk", "chunk_overlap")
    config = read_settings(args, UpscaleConfig)
    clip, prompt = read_whole(args.clip, args, exact=True), args.prompt or prompt_of(args.clip)
    fps = clip.fps if args.fps is None else args.fps
    height, width = clip.frames.shape[1:3]
    path = prepare_video(args, UPSCALED, fps, height=TIMES * height, width=TIMES * width)
    device, dtype = find_device(args.device), choose_dtype(args.device, args.dtype)
    tell(f"reading {args.upscaler}")
    parts = load_upscaler_parts(args.upscaler, dtype=dtype, device=device)
    told, avoided = encode_prompt(parts, prompt), encode_prompt(parts, config.negative)
    tell(f"reading {args.lavie}")
    lavie = load_lavie(args.lavie, "super_resolution", dtype=dtype, device=device, backend=args.backend)
    denoiser = UNetDenoiser(unet=lavie.unet, schedule=lavie.schedule)
    shape = torch.empty((1, LATENT_CHANNELS + 3, clip.num_frames, height, width), device="meta")
    chunked = in_chunks(denoiser, config, clip.num_frames)
    check_room(chunked, shape, guided=False)
    as_told = dataclasses.replace(told, noise_level=torch.tensor([config.noise_level]))
    tell_time(chunked, shape, as_told, {False: config.num_steps * (1 + (config.guidance_scale > 1))})
    with progress_bar("upscale", config.num_steps) as bar:
        latents = upscale(
            denoiser,
            clip.frames,
            told,
            avoided,
            config=config,
            low_res_schedule=parts.low_res_schedule,
            on_step=counted_by(bar),
        )
    # A frame of the result takes as much memory to decode as the prediction did.
    torch.nn.Module.to(lavie.unet, "meta")
    frames = decode_latents(parts.vae, latents)[0]
    write_one(path, frames if args.model_colors else keep_colors(frames, clip.frames), fps, config, args, prompt)


def run_train_video(args: argparse.Namespace) -> None:
    """Trains LaVie's base on a folder, and writes it under this library's names, in float32."""
    config, processes = read_settings(args, VideoLayersConfig), join_processes()
    if processes.device is not None:
        args.device = str(processes.device)
    check_captions_fit(args)
    out = args.out / "lavie_base.safetensors"
    lavie, data = load_lavie(args.lavie, "base", backend=args.backend), encode_examples(args, config, processes)
    with raise_between_steps() as check, training_bar(config.num_steps, check, shown=processes.is_main) as on_step:
        unet = train_video_layers(
            lavie.unet,
            None,
            data,
            config=config,
            state_path=args.out / "state.safetensors",
            device=find_device(args.device),
            on_step=on_step,
        )
    if processes.is_main:
        about = {"lavie": "base", "scaling_factor": str(lavie.scaling_factor)}
        print(save_tensors(out, unet.state_dict(), about))


def encode_examples(args: argparse.Namespace, config: VideoLayersConfig, processes: Processes) -> CaptionedLatents:
    """The folder's examples, encoded; the checkpoint gives its memory back."""
    checkpoint = load_model(args, precision=config.precision)
    check_is_lavies(checkpoint)
    torch.nn.Module.to(checkpoint.unet, "meta")
    with progress_bar("encode", 0, shown=processes.is_main) as bar:
        return encode_folder(checkpoint, args.data, config=config, on_read=counted_by(bar))


def check_captions_fit(args: argparse.Namespace) -> None:
    """Raises `ConfigError` for long captions: those of a clip and of its pictures need one length."""
    if args.long_prompts:
        raise ConfigError(
            got="--long-prompts in a training", expected="captions of 75 tokens or fewer", mend="Leave it out."
        )


def run_convert(args: argparse.Namespace) -> None:
    """Writes one of LaVie's files as safetensors."""
    kind = convert_lavie(args.path, args.out, dtype=DTYPES[args.dtype] if args.dtype else None)
    print(f"{args.out}  ({KINDS[kind].title})")


def check_alone(args: argparse.Namespace) -> None:
    """Raises `ConfigError` for options of `generate` that belong to another method than LaVie's."""
    if args.lora:
        raise ConfigError(
            got="--lavie with --lora",
            expected="a LoRA on the model that draws, which is LaVie's own",
            mend="Leave --lora out.",
        )
    given = camera_of(args) | {name: getattr(args, name) for name in ("motion", "foreground")}
    found = [name for name in ONLY_WITHOUT if given.get(name) is not None]
    if found := [*found, *(name for name, usual in WITH_DEFAULTS.items() if getattr(args, name) != usual)]:
        raise ConfigError(
            got=f"--lavie with --{', --'.join(name.replace('_', '-') for name in found)}",
            expected="LaVie alone: it moves things by itself",
            mend="Leave one of the two out, and say in the prompt what moves.",
        )


def load_video_model(args: argparse.Namespace, checkpoint: Checkpoint, kind: str) -> UNetDenoiser:
    """One of LaVie's models beside a checkpoint, whose own UNet gives its memory back, because nothing uses it."""
    check_is_lavies(checkpoint)
    device, dtype = checkpoint.unet.device, checkpoint.unet.dtype
    torch.nn.Module.to(checkpoint.unet, "meta")
    tell(f"reading {args.lavie}")
    lavie = load_lavie(args.lavie, kind, dtype=dtype, device=device, backend=args.backend)
    return UNetDenoiser(unet=lavie.unet, schedule=lavie.schedule)


def check_is_lavies(checkpoint: Checkpoint) -> None:
    """Raises `ConfigError` for a checkpoint whose text encoder and VAE are not those that LaVie was trained with."""
    if (family := find_family(checkpoint.unet.config)) is not SD1:
        raise ConfigError(
            got=f"a {family.title} checkpoint beside LaVie: {checkpoint.path}",
            expected=f"one of {SD1.title}, whose text and latents LaVie knows",
            mend="Give --sd such a one; LaVie was made with Stable Diffusion 1.4.",
        )


def prompt_of(clip: Path) -> str:
    """The prompt that a file's name gives: "a_red_star.mp4" shows "a red star", and so does what was made of it."""
    stem = stem_of(clip)
    for done in (UPSCALED, INTERPOLATED):
        stem = stem.removesuffix(f"-{done}")
    return stem.replace("_", " ").replace("-", " ").strip()


def stem_of(clip: Path) -> str:
    """A clip's name without its ending, which a folder has none of."""
    return clip.name if clip.is_dir() else clip.stem


def prepare_video(args: argparse.Namespace, what: str, fps: float, *, height: int, width: int) -> str:
    """The path of the result of this size, after checks of all that can be known of it."""
    if args.watermark:
        check_size(height, width)
    path = name_video(args, what)
    check_file(args, path, fps)
    return path


def name_video(args: argparse.Namespace, what: str) -> str:
    """The path of the result, which is named after the clip and what is done to it."""
    # A folder's name may have a dot in it, and ends with / to be known as one.
    ending = "/" if args.format == "png" else f".{args.format}"
    return f"{args.out / stem_of(args.clip)}-{what}{ending}"


def write_one(path: str, frames: Tensor, fps: float, config: Any, args: argparse.Namespace, prompt: str) -> None:
    """Writes the result, with the settings that made it in its file."""
    about = {"prompt": prompt, **dataclasses.asdict(config), "clip": args.clip.name, "lavie": args.lavie.name}
    print(write_video(path, frames, fps=fps, comment=describe_making(args, about), watermark=args.watermark))
