"""Stable Diffusion 1.x, 2.x and XL in a diffusers folder, and pipelines that the original Tune-A-Video saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..models.families import Family, find_family
from ..models.parameter_names import is_temporal
from ..models.unsupported import ORIGINAL_UNET, TEXT_TO_VIDEO, find_refused
from ..paths import check_input_path
from .build import Builder, Config, Parts
from .other_folders import read_configs
from .part_folders import open_folder, read_json
from .refusals import refuse_noise_xl, refuse_unet_config, wrong_family
from .vae import load_vae
from .weight_files import open_weights

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from transformers import CLIPTextModelWithProjection


def load_folder(path: Path, *, dtype: torch.dtype, device: torch.device | str, vae: Path | None = None) -> Parts:
    """Reads a diffusers folder; see `load_checkpoint`.

    Raises:
        CheckpointError: a part is missing or damaged, or the model is of another family.
    """
    configs = read_configs(path, without=("vae",) if vae else ())
    builder = Builder(path, dtype, device)
    unet_config, unet_tensors = configs["unet"], open_folder(path / "unet").read()
    if unet_config.get("_class_name") == "UNet3DConditionModel":
        unet_config, unet_tensors = _flatten_original(path, unet_config, unet_tensors)
    refuse_unet_config(path, unet_config)
    unet = builder.unet(unet_config, unet_tensors)
    family = find_family(unet.config)
    if family.added_conditions:
        refuse_noise_xl(path, scheduler=configs["scheduler"], vae=configs.get("vae", {}))
    return Parts(
        unet=unet,
        vae=_load_vae(builder, configs.get("vae", {}), family, vae),
        text_encoder=builder.text_encoder(configs["text_encoder"], open_folder(path / "text_encoder").read()),
        text_encoder_2=_load_second_text_encoder(builder) if family.second_text_prefix else None,
        scheduler_config=configs["scheduler"],
    )


def _load_vae(builder: Builder, config: Config, family: Family, given: Path | None) -> AutoencoderKL:
    if given:
        return load_vae(given, family=family, dtype=builder.dtype, device=builder.device)
    if family.added_conditions:
        # An SDXL folder's own config may lack the factor, or have diffusers' default, 1.x's.
        config = {**config, "scaling_factor": family.scaling_factor}
    return builder.vae(config, open_folder(builder.path / "vae").read())


def _load_second_text_encoder(builder: Builder) -> CLIPTextModelWithProjection:
    folder = builder.path / "text_encoder_2"
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            got=f"{builder.path}, a Stable Diffusion XL folder without text_encoder_2/config.json",
            expected="its two text encoders, text_encoder and text_encoder_2",
            mend="Get the complete folder again.",
        )
    return builder.text_encoder_2(read_json(folder / "config.json"), open_folder(folder).read())


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
    folder = path / "unet" if (path / "unet").is_dir() else path
    file = open_folder(folder) if path.is_dir() else open_weights(path)
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
