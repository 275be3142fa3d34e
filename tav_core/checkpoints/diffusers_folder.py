"""Stable Diffusion 1.x and 2.x in a diffusers folder, and pipelines that the original Tune-A-Video saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..models.families import SUPPORTED
from ..models.parameter_names import is_temporal
from ..models.unsupported import ORIGINAL_UNET, TEXT_TO_VIDEO, Refused, find_refused, find_refused_pipeline
from ..paths import check_input_path
from .build import Builder, Parts
from .refusals import refuse_unet_config, wrong_family
from .weight_files import SUFFIXES, open_weights

CONFIGS = {
    "unet": "unet/config.json",
    "vae": "vae/config.json",
    "text_encoder": "text_encoder/config.json",
    "scheduler": "scheduler/scheduler_config.json",
}
WEIGHTS = tuple(
    f"{stem}{variant}{suffix}"
    for suffix in (".safetensors", ".bin")
    for variant in ("", ".fp16")
    for stem in ("diffusion_pytorch_model", "model", "pytorch_model")
)


def load_folder(path: Path, *, dtype: torch.dtype, device: torch.device | str) -> Parts:
    """Reads a diffusers folder; see `load_checkpoint`.

    Raises:
        CheckpointError: a part is missing or damaged, or the model is of another family.
    """
    refuse_other_folders(path)
    configs = {part: read_json(path / name) for part, name in CONFIGS.items()}
    builder = Builder(path, dtype, device)
    unet_tensors = open_weights(find_weights(path / "unet")).read()
    unet_config = configs["unet"]
    if unet_config.get("_class_name") == "UNet3DConditionModel":
        unet_config, unet_tensors = _flatten_original(path, unet_config, unet_tensors)
    refuse_unet_config(path, unet_config)
    return Parts(
        unet=builder.unet(unet_config, unet_tensors),
        vae=builder.vae(configs["vae"], open_weights(find_weights(path / "vae")).read()),
        text_encoder=builder.text_encoder(
            configs["text_encoder"], open_weights(find_weights(path / "text_encoder")).read()
        ),
        scheduler_config=configs["scheduler"],
    )


def refuse_other_folders(path: Path) -> None:
    """Refuses a folder that is not a diffusers model, or is one of another family.

    Raises:
        CheckpointError: the message says what is missing.
    """
    index = read_json(path / "model_index.json") if (path / "model_index.json").is_file() else {}
    pipeline = str(index.get("_class_name", ""))
    missing = [name for name in CONFIGS.values() if not (path / name).is_file()]
    if "unet" in index or not index:
        if missing:
            raise _not_a_model(path, missing)
    elif missing:
        raise wrong_family(path, Refused(title=pipeline or "a pipeline without a UNet"))
    if refused := find_refused_pipeline(pipeline):
        raise wrong_family(path, refused, detail=pipeline)


def _not_a_model(path: Path, missing: list[str]) -> CheckpointError:
    files = sorted(file.name for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    above = path.name in CONFIGS and (path.parent / CONFIGS["unet"]).is_file()
    mend = "Give the folder that holds unet, vae, text_encoder, tokenizer and scheduler."
    if above:
        mend = f"Give the folder above: {path.parent}."
    elif files:
        mend = f"Give a file in it, as in {path / files[0]}, or a diffusers folder."
    return CheckpointError(got=f"{path}, a folder without {', '.join(missing)}", expected=SUPPORTED, mend=mend)


def find_weights(folder: Path) -> Path:
    """The file of weights in one part's folder; safetensors and full precision first.

    Raises:
        CheckpointError: there is none.
    """
    found = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(
            got=f"{folder} without weights",
            expected=f"one of {', '.join(WEIGHTS)}",
            mend="Get the complete folder again. If the weights are split into several files, join them first.",
        )
    return found


def load_original_unet(path: str | Path) -> dict[str, Tensor]:
    """The weights of a UNet that the original Tune-A-Video saved, under their published names.

    Args:
        path: its pipeline folder, the `unet` folder in it, or the .bin or .safetensors file itself.

    Returns:
        All tensors, spatial and temporal (`...transformer_blocks.0.attn_temp.to_q.weight`), as they were saved.

    Raises:
        CheckpointError: no such file, a damaged one, one that would run code, or a model without temporal blocks.
    """
    path = check_input_path(path, CheckpointError)
    if path.is_dir():
        path = find_weights(path / "unet" if (path / "unet").is_dir() else path)
    file = open_weights(path)
    found = find_refused(file.shapes)
    if found != ORIGINAL_UNET:
        raise CheckpointError(
            got=f"{found.title if found else 'a model without temporal blocks'}: {path}",
            expected=f"{ORIGINAL_UNET.title}, with attn_temp in the names of its tensors",
            mend="Give the folder that its training wrote, or the unet folder in it.",
        )
    return file.read()


def _flatten_original(
    path: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The 2-D part of an original UNet: its config in the names of the 2-D classes, and its spatial weights."""
    if not any(is_temporal(name) for name in tensors):
        raise wrong_family(path, TEXT_TO_VIDEO)
    spatial = {name: t for name, t in tensors.items() if not is_temporal(name)}
    return {setting: _name_2d(value) for setting, value in config.items()}, spatial


def _name_2d(value: Any) -> Any:
    if isinstance(value, list):
        return [_name_2d(each) for each in value]
    return value.replace("3D", "2D") if isinstance(value, str) else value


def read_json(path: Path) -> dict[str, Any]:
    """A config file.

    Raises:
        CheckpointError: it is not JSON, or not an object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            got=f"{path}, which cannot be read ({error})", expected="a JSON file", mend="Get the folder again."
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(got=f"{path} without settings", expected="a JSON object", mend="Get the folder again.")
    return config
