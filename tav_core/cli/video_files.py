"""The videos that a command writes, one for each prompt: their names, their writing, and what their files tell."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoints.load import Checkpoint
from ..models.latents import decode_latents
from ..paths import as_file_name, new_name
from ..sampling.config import EditConfig
from ..version import __version__
from ..video.watermark import check_size
from ..video.write import check_video, find_marker, write_video
from .inputs import strengths_of

# Options that do something only when they are given, and those that say how.
ASKED = {
    "negative": (),
    "negative_source": (),
    "long_prompts": (),
    "scheduler": (),
    "preset": (),
    "free_noise": (),
    "blend": ("blend_weight",),
    "mask": ("feather",),
    "frames": ("ramp",),
    "context_length": ("context_overlap",),
    "inject": ("inject_prompt", "inject_attention", "inject_features", "inject_first_layer"),
    "flow_guided": ("flow_levels", "flow_match", "flow_until"),
    "control": (
        "control_scale",
        "control_start",
        "control_end",
        "control_attention",
        "control_first_frame",
        "control_stride",
    ),
}
# Files that a command is told, by their options.
NETS = ("control", "control_video", "control_mask")
FILES = ("vae", "motion", "trajectory", "blend", "mask", "animation_mask", "source", "flow_weights", "foreground")


def prepare_videos(args: argparse.Namespace, fps: float, *, height: int, width: int) -> list[Path]:
    """The path of each prompt's video, after checks of all that can be known of them."""
    if args.watermark:
        check_size(height, width)
    paths = name_videos(args)
    for path in paths:
        check_file(args, path, fps)
    return paths


def check_file(args: argparse.Namespace, path: Path | str, fps: float) -> None:
    """Raises if a video cannot be written as the options say."""
    find_marker(args.watermark, check_video(path, fps=fps).ending)


def name_videos(args: argparse.Namespace) -> list[Path]:
    """One path per prompt; if two prompts give the same name, the second gets a number."""
    names: list[str] = []
    for prompt in args.prompt:
        names.append(new_name(as_file_name(prompt), names))
    ending = "" if args.format == "png" else f".{args.format}"
    return [args.out / f"{name}{ending}" for name in names]


def write_videos(
    args: argparse.Namespace,
    paths: Sequence[Path],
    checkpoint: Checkpoint,
    latents: Tensor,
    *,
    fps: float,
    about: dict[str, Any],
    finish: Callable[[Tensor], Tensor] = lambda frames: frames,
) -> Iterator[Path]:
    """Decodes and writes videos, each with what the options say of its making in its file; yields each path then.

    Args:
        paths: one for each prompt, as `prepare_videos` gives them.
        latents: `p c f h w`.
        about: what made the videos, besides prompt and model.
        finish: what is still done to the frames of each, `f h w 3`.
    """
    for path, video, prompt in zip(paths, latents.split(1), args.prompt, strict=True):
        frames = finish(decode_latents(checkpoint.vae, video)[0])
        comment = describe_making(args, {"prompt": prompt, "model": checkpoint.path.name, **about})
        yield write_video(path, frames, fps=fps, comment=comment, watermark=args.watermark)


def describe_making(args: argparse.Namespace, about: dict[str, Any]) -> str:
    """How a video was made, as the comment for its file; "" if the options ask for none."""
    return json.dumps({**about, "tav_core": __version__}, default=str, ensure_ascii=False) if args.metadata else ""


def loras_of(args: argparse.Namespace) -> dict[str, Any]:
    """The LoRAs that were used, by the names of their files, without the folders."""
    return {"lora": [Path(text).name for text in args.lora]} if args.lora else {}


def edit_settings(args: argparse.Namespace, config: EditConfig) -> dict[str, Any]:
    """What made an edit, besides its prompt and its model: files by their names, and settings that were used."""
    speed = {"speed": args.speed} if args.speed != 1 else {}
    return {**asked_settings(args), **speed, **strengths_of(args), **asdict(config)}


def asked_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What a command was told beside the settings that it always has: files by their names, and what was asked for."""
    files = {name: getattr(args, name, None) for name in FILES}
    named = {name: path.name for name, path in files.items() if path is not None}
    nets = {name: [Path(path).name for path in getattr(args, name, None) or []] for name in NETS}
    behind = [name for option in ASKED if getattr(args, option, None) for name in (option, *ASKED[option])]
    values = {name: getattr(args, name) for name in behind if name not in (*FILES, *NETS)}
    used = {name: value for name, value in values.items() if value not in (None, "", [])}
    places = [[prompt, Path(mask).name] for prompt, mask in getattr(args, "local_prompt", None) or []]
    used |= {"local_prompt": places} if places else {}
    return {**named, **used, **{name: value for name, value in nets.items() if value}, **loras_of(args)}
