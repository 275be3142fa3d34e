"""Tells a diffusers folder from the other folders that people give, and names those.

A trainer's checkpoint-500 holds what training needs to go on (accelerate writes it): the weights that train, the
optimizer, random numbers. It lacks the other parts of the model.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..models.families import SUPPORTED
from ..models.unsupported import REFINER, Refused, find_refused_pipeline
from .part_folders import read_json
from .refusals import wrong_family
from .weight_files import SUFFIXES

CONFIGS = {
    "unet": "unet/config.json",
    "vae": "vae/config.json",
    "text_encoder": "text_encoder/config.json",
    "scheduler": "scheduler/scheduler_config.json",
}
PARTS_NAMED = "unet, vae, text_encoder, tokenizer and scheduler"
# Files that trainers write beside the weights, to go on from: accelerate, DeepSpeed, transformers.
STATE_FILES = (
    "optimizer*.bin",
    "optimizer*.pt",
    "optimizer*.safetensors",
    "random_states_*.pkl",
    "rng_state*.pth",
    "scheduler.bin",
    "scheduler.pt",
    "scaler.pt",
    "trainer_state.json",
    "zero_to_fp32.*",
)
EMA, UNET = "unet_ema", "unet"
LORA = "pytorch_lora_weights.*"


def read_configs(path: Path, *, without: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
    """The configs of a diffusers folder's parts.

    Args:
        without: parts that come from elsewhere.

    Raises:
        CheckpointError: it is another folder, or a model of another family; the message names it.
    """
    needed = {part: name for part, name in CONFIGS.items() if part not in without}
    index = read_json(path / "model_index.json") if (path / "model_index.json").is_file() else {}
    pipeline = str(index.get("_class_name", ""))
    missing = [name for name in needed.values() if not (path / name).is_file()]
    if (path / CONFIGS["unet"]).is_file() and REFINER.has_config(read_json(path / CONFIGS["unet"])):
        # It has no first text encoder, so that its folder would seem incomplete.
        raise wrong_family(path, REFINER)
    if missing and ("unet" in index or not index):
        raise _not_a_model(path, missing)
    if missing:
        raise wrong_family(path, Refused(title=pipeline or "a pipeline without a UNet"))
    if refused := find_refused_pipeline(pipeline):
        raise wrong_family(path, refused, detail=pipeline)
    return {part: read_json(path / name) for part, name in needed.items()}


def is_model(path: Path) -> bool:
    """Whether a folder has the configs of all parts."""
    return all((path / name).is_file() for name in CONFIGS.values())


def _not_a_model(path: Path, missing: list[str]) -> CheckpointError:
    state = next((place for place in (path, path.parent) if _is_training_state(place)), None)
    # Trainers write the model beside their checkpoint-500, so a folder above may hold a state and a model.
    if state and (state == path or path.name in (EMA, UNET)):
        return _training_state(state)
    steps = sorted((each for each in path.iterdir() if _is_training_state(each)), key=lambda each: each.stat().st_mtime)
    if steps:
        return _training_run(path, steps[-1])
    files = sorted(file.name for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    if inner := _find_model_in(path):
        mend = f"Give the folder in it: {inner}."
    elif is_model(path.parent):
        mend = f"Give the folder above: {path.parent}."
    elif missing == [CONFIGS["vae"]]:
        mend = "Give a VAE of its family (vae=...; --vae FILE on the command line), or get the complete folder again."
    elif files:
        mend = f"Give a file in it, as in {path / files[0]}, or a diffusers folder."
    else:
        mend = f"Give the folder that holds {PARTS_NAMED}."
    return CheckpointError(got=f"{path}, a folder without {', '.join(missing)}", expected=SUPPORTED, mend=mend)


def _find_model_in(path: Path) -> Path | None:
    """A model one folder further in, or in the `snapshots` of the hub's cache."""
    places = [path, path / "snapshots"]
    inner = (each for place in places if place.is_dir() for each in sorted(place.iterdir()))
    return next((each for each in inner if is_model(each)), None)


def _is_training_state(path: Path) -> bool:
    return path.is_dir() and any(next(path.glob(name), None) is not None for name in STATE_FILES)


def _training_run(path: Path, step: Path) -> CheckpointError:
    return CheckpointError(
        got=f"{path}, the folder of a training run that has not written its model yet (it holds {step.name})",
        expected=SUPPORTED,
        mend=f"Let the training end. {_mend_state(step)[1]}",
    )


def _training_state(path: Path) -> CheckpointError:
    holds, mend = _mend_state(path)
    above = "When it ends, the training writes the whole model into the folder above: give that."
    if next(path.glob(LORA), None):
        above = ""
    elif is_model(path.parent):
        above = f"Give the folder above, the model that the training wrote at its end: {path.parent}."
    return CheckpointError(
        got=f"{path}, the state of a training run with {holds}", expected=SUPPORTED, mend=f"{above} {mend}".strip()
    )


def _mend_state(path: Path) -> tuple[str, str]:
    """What the state of a training run holds of a model, and how that can be used."""
    if next(path.glob(LORA), None):
        return "a LoRA", "A LoRA changes a model and is none: give the model that it was trained from."
    if unet := next((path / name for name in (EMA, UNET) if (path / name / "config.json").is_file()), None):
        return (
            f"a UNet ({unet.name}) without the other parts of a model",
            f"For this step, copy the folder of the base model, put {unet} in place of its unet, and give the copy.",
        )
    return (
        "the weights that were trained, without the other parts of a model",
        "For this step, load them into the base model with the trainer, and save that as a folder or file.",
    )
