"""Stable Diffusion 1.x and 2.x in one file, in the layout of CompVis' and Stability's own (LDM) checkpoints.

    model.diffusion_model.*                  UNet
    first_stage_model.*                      VAE
    cond_stage_model.transformer.*           text encoder of 1.x (CLIP), with or without `text_model.` next
    cond_stage_model.model.*                 text encoder of 2.x (OpenCLIP)
    model_ema.*                              a running average of the UNet, not read

Tensors are renamed by diffusers' own functions. They are not public, so only this file calls them; their names and
arguments are the same in diffusers 0.30 to 0.42.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from .build import Builder, Parts, bare_text_names
from .families import SUPPORTED, name_family, refuse_in_channels, wrong_family
from .ldm_configs import SCHEDULER_CONFIG, clip_text_config, open_clip_text_config, unet_config, vae_config
from .weight_files import WeightFile, open_weights

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."
CLIP, OPEN_CLIP = TEXT + "transformer.", TEXT + "model."
PARTS = {"UNet": UNET, "VAE": VAE, "text encoder": TEXT}

# No field says what the UNet predicts. In Stability's velocity models this bias spreads wider than in their epsilon
# models; ComfyUI tells them apart by the same tensor and threshold.
VELOCITY_MARK = UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias"
VELOCITY_SPREAD = 0.09


def load_single_file(
    path: Path, *, dtype: torch.dtype, device: torch.device | str, prediction_type: str | None
) -> Parts:
    """Reads a single-file checkpoint; see `load_checkpoint`.

    Raises:
        CheckpointError: the file is damaged, would run code, lacks a part, or is of another family.
    """
    file = open_weights(path)
    builder = Builder(path, dtype, device)
    try:
        _refuse_others(file)
        prediction_type = prediction_type or guess_prediction_type(file)
        return Parts(
            unet=unet_from_ldm(file.read(UNET), builder, v_prediction=prediction_type == "v_prediction"),
            vae=_load_vae(file, builder),
            text_encoder=_load_text_encoder(file, builder),
            scheduler_config={**SCHEDULER_CONFIG, "prediction_type": prediction_type},
        )
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            got=f"a layout that is not Stable Diffusion's ({error}): {path}",
            expected=SUPPORTED,
            mend="The file is damaged or of another family: choose another.",
        ) from error


def is_open_clip(file: WeightFile) -> bool:
    """Whether the text encoder is OpenCLIP's, as in Stable Diffusion 2.x."""
    return any(name.startswith(OPEN_CLIP) for name in file.shapes)


def guess_prediction_type(file: WeightFile) -> str:
    """Guesses "v_prediction" for 2.x models with weights like those of Stability's velocity models, else "epsilon"."""
    if not is_open_clip(file) or VELOCITY_MARK not in file.shapes:
        return "epsilon"
    bias = file.read(VELOCITY_MARK)[VELOCITY_MARK]
    return "v_prediction" if bias.float().std(unbiased=False) > VELOCITY_SPREAD else "epsilon"


def _refuse_others(file: WeightFile) -> None:
    family = name_family(file.shapes)
    if family is not None:
        raise wrong_family(file.path, family)
    missing = [part for part, prefix in PARTS.items() if not file.shapes_under(prefix)]
    if missing:
        raise CheckpointError(
            got=f"{file.path} without its {', '.join(missing)}",
            expected=f"{SUPPORTED}, with UNet, VAE and text encoder in the file",
            mend="Take the full checkpoint, or a diffusers folder with its parts in subfolders.",
        )
    first, last = file.shapes.get(UNET + "input_blocks.0.0.weight"), file.shapes.get(UNET + "out.2.weight")
    if first and last:
        refuse_in_channels(file.path, first[1], last[0])


def unet_from_ldm(tensors: Mapping[str, Tensor], builder: Builder, *, v_prediction: bool) -> UNet2DConditionModel:
    """A 2-D UNet from tensors under LDM's names, `model.diffusion_model.*`.

    Raises:
        CheckpointError: they do not fit.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    shapes = {name.removeprefix(UNET): tuple(tensor.shape) for name, tensor in tensors.items()}
    config = unet_config(shapes, v_prediction=v_prediction)
    return builder.unet(config, convert_ldm_unet_checkpoint(dict(tensors), config))


def _load_vae(file: WeightFile, builder: Builder) -> Any:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    config = vae_config(file.shapes_under(VAE))
    return builder.vae(config, convert_ldm_vae_checkpoint(file.read(VAE), config))


def _load_text_encoder(file: WeightFile, builder: Builder) -> Any:
    if not is_open_clip(file):
        config = clip_text_config(bare_text_names(file.shapes_under(CLIP)))
        tensors = {name.removeprefix(CLIP): tensor for name, tensor in file.read(CLIP).items()}
        return builder.text_encoder(config, tensors)
    config = open_clip_text_config(file.shapes_under(OPEN_CLIP))
    return builder.text_encoder(config, _convert_open_clip(file.read(OPEN_CLIP), config))


def _convert_open_clip(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    layer = OPEN_CLIP + "transformer.resblocks."
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if not (name.startswith(layer) and int(name[len(layer) :].split(".")[0]) >= config["num_hidden_layers"])
    }
    return convert_open_clip_checkpoint(SimpleNamespace(config=SimpleNamespace(**config)), kept, prefix=OPEN_CLIP)
