"""Tells what a file or folder is: what a stage wrote, a LoRA, a checkpoint, a video, or a picture."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, ConfigError, InputError
from ..video.config import VIDEO_ENDINGS


def describe(path: Path, *, vae: Path | None = None) -> dict[str, Any]:
    """What is at `path`, as names and values to print; only the header of a motion, trajectory or state is read.

    Args:
        vae: for a checkpoint without one.

    Raises:
        InputError: the file is damaged.
        CheckpointError: there is nothing at `path`, or nothing that this library knows.
    """
    from ..checkpoints.file_kinds import PICKLE, SAFETENSORS, find_kind

    readers = {SAFETENSORS: (describe_own_file, describe_weights), PICKLE: (describe_weights,)}
    for read in readers.get(find_kind(path), ()) if path.is_file() else ():
        if known := read(path):
            return known
    if is_shown(path) or has_frames(path):
        return describe_video(path)
    return describe_checkpoint(path, vae=vae)


def is_shown(path: Path) -> bool:
    """Whether a file is a video or a picture, by its name."""
    from ..video.image_files import PICTURE_ENDINGS

    return path.suffix.lower() in (*VIDEO_ENDINGS, *PICTURE_ENDINGS)


def has_frames(path: Path) -> bool:
    """Whether a path is a folder of frames; folders of checkpoints often hold pictures too, such as SDXL's."""
    from ..video.image_files import pictures_in

    if not path.is_dir() or (path / "unet").is_dir() or (path / "model_index.json").is_file():
        return False
    return any(pictures_in(path))


def describe_own_file(path: Path) -> dict[str, Any] | None:
    """Describes a file that one of the stages wrote, or a LoRA; None for any other file."""
    from ..checkpoints.lora import describe_lora
    from ..checkpoints.lora_file import is_lora, read_lora
    from ..tensor_files import load_header
    from ..tuning.motion_info import is_motion, read_info

    shapes, metadata = load_header(path, error=InputError, what="a safetensors file")
    if is_motion(metadata):
        return {"kind": "motion", "tensors": len(shapes), **dataclasses.asdict(read_info(path, metadata))}
    if "timesteps" in metadata and len(shapes.get("latents", ())) == 6:
        steps, _, channels, num_frames, height, width = shapes["latents"]
        latents = f"{num_frames} frames, {channels} channels, {width}x{height}"
        method = metadata.get("method", "ddim")
        return {
            "kind": "trajectory",
            "steps": steps - 1,
            "latents": latents,
            "fps": metadata.get("fps"),
            "method": method,
        }
    if "identity" in metadata and "step" in metadata:
        return {"kind": "state of a tuning run", "steps done": metadata["step"]}
    if is_lora(shapes):
        return describe_lora(read_lora(path))
    return None


def describe_weights(path: Path) -> dict[str, Any] | None:
    """Describes a LoRA or one of LaVie's models; None for any other file. Code in a pickle is not run."""
    from ..checkpoints.lavie import KINDS
    from ..checkpoints.lavie_configs import find_lavie_kind
    from ..checkpoints.lora import describe_lora
    from ..checkpoints.lora_file import is_lora, read_lora
    from ..checkpoints.weight_files import open_weights

    try:
        shapes = open_weights(path).shapes
    except CheckpointError:
        # What reads it as a checkpoint says what is wrong.
        return None
    if is_lora(shapes):
        return describe_lora(read_lora(path))
    kind = find_lavie_kind(shapes)
    return None if kind is None else {"kind": KINDS[kind].title, "tensors": len(shapes)}


def describe_video(path: Path) -> dict[str, Any]:
    """Describes a video, a folder of its frames, or a picture: its size, its watermark, and what it says of its making.

    Raises:
        ClipError: it cannot be read.
    """
    from ..video.clip import open_source, source_size
    from ..video.image_files import StillFile
    from ..video.notes import read_notes, read_settings_in, shorten

    source, notes = open_source(path), read_notes(path)
    width, height = source_size(source)
    about = {"kind": "video", "frames": len(source.timeline), "size": f"{width}x{height}"}
    about |= {"fps": f"{float(source.timeline.rate):g}"}
    if isinstance(source, StillFile):
        about = {"kind": "picture", "size": about["size"]}
    about["watermark"] = find_watermark(path)
    workflow = {"workflow": "ComfyUI's, in the file"} if "workflow" in notes or "prompt" in notes else {}
    made = {name: shorten(value) for name, value in read_settings_in(notes).items()}
    return {**about, **workflow, **{f"made: {name}": value for name, value in made.items()}}


def find_watermark(path: Path) -> str:
    """A video's watermark in words."""
    import numpy as np

    from ..video.clip import open_source, trusting
    from ..video.watermark import FRAMES_TO_READ, load_package, read_mark

    try:
        load_package()
    except ConfigError:
        return "not looked for, because the package invisible-watermark is not installed"
    source = open_source(path)

    def look() -> str | None:
        count = len(source.timeline)
        positions = range(0, count, max(1, count // FRAMES_TO_READ))[:FRAMES_TO_READ]
        return read_mark(np.asarray(image) for image in source.images(positions))

    return trusting(source, look) or "none that can be read"


def describe_checkpoint(path: Path, *, vae: Path | None) -> dict[str, Any]:
    """Describes a Stable Diffusion checkpoint; loads it, to be sure that it can be loaded."""
    from ..checkpoints.load import load_checkpoint
    from ..models.families import describe_architecture

    checkpoint = load_checkpoint(path, vae=vae)
    parameters = sum(p.numel() for p in checkpoint.unet.parameters())
    return {
        "kind": f"checkpoint, {checkpoint.architecture}",
        "predicts": checkpoint.schedule.prediction_type,
        "UNet": f"{parameters / 1e6:.1f} M parameters",
        **describe_architecture(checkpoint.unet),
    }
