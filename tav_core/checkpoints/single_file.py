"""Stable Diffusion 1.x, 2.x and XL in one file, in the layout of CompVis' and Stability's own (LDM) checkpoints.

    model.diffusion_model.*                  UNet
    first_stage_model.*                      VAE
    cond_stage_model.transformer.*           text encoder of 1.x (CLIP), with or without `text_model.` next
    cond_stage_model.model.*                 text encoder of 2.x (OpenCLIP)
    conditioner.embedders.0.transformer.*    first text encoder of XL (CLIP)
    conditioner.embedders.1.model.*          second text encoder of XL (OpenCLIP, with its projection)
    model_ema.*                              a running average of the UNet, not read
    bundle_emb.*                             embeddings of words, not read
    v_pred, ztsnr                            what the UNet predicts, see prediction.py

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
from ..models.families import FAMILIES, SDXL, SUPPORTED, Family, find_family
from ..models.unsupported import find_refused
from .build import PROJECTION, Builder, Parts, bare_text_names
from .clip_weights import rename_original
from .ldm_configs import clip_text_config, open_clip_text_config, projected_text_config, unet_config
from .prediction import VELOCITY, find_prediction_type, has_zero_snr
from .refusals import refuse_in_channels, refuse_relative, refuse_zero_snr_xl, wrong_family
from .vae import load_vae, vae_from_ldm
from .weight_files import WeightFile, open_weights

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModelWithProjection

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model."
TEXT_XL = "conditioner.embedders."
PARTS = {"UNet": (UNET,), "VAE": (VAE,), "text encoder": (TEXT, TEXT_XL)}
# The names that web UIs look for beside MODEL.safetensors.
VAES_BESIDE = (".vae.safetensors", ".vae.pt", ".vae.ckpt")


def load_single_file(
    path: Path,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    prediction_type: str | None,
    vae: Path | None = None,
) -> Parts:
    """Reads a single-file checkpoint; see `load_checkpoint`.

    Raises:
        CheckpointError: the file is damaged, would run code, lacks a part, or is of another family.
    """
    file = open_weights(path)
    builder = Builder(path, dtype, device)
    try:
        _refuse_others(file, vae=vae)
        family = find_family_by_text(file)
        prediction_type = prediction_type or find_prediction_type(file, family)
        unet = unet_from_ldm(file.read(UNET), builder, v_prediction=prediction_type == VELOCITY)
        return Parts(
            unet=unet,
            # Autoencoders of the same shapes have different factors: the UNet's family says which.
            vae=_load_vae(file, builder, find_family(unet.config), vae),
            text_encoder=load_text_encoder(file, builder, family),
            text_encoder_2=load_second_text_encoder(file, builder, family),
            scheduler_config={
                **family.scheduler,
                "prediction_type": prediction_type,
                **({"rescale_betas_zero_snr": True} if has_zero_snr(file) else {}),
            },
        )
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            got=f"a layout that is not Stable Diffusion's ({error}): {path}",
            expected=SUPPORTED,
            mend="The file is damaged or of another family: choose another.",
        ) from error


def find_family_by_text(file: WeightFile) -> Family:
    """The family whose text encoder a file holds, or the first of all where it holds one that is not known."""
    known = (family for family in FAMILIES if file.shapes_under(family.text_prefix))
    return next(known, FAMILIES[0])


def _refuse_others(file: WeightFile, *, vae: Path | None) -> None:
    if refused := find_refused(file.shapes):
        raise wrong_family(file.path, refused)
    missing = [part for part, prefixes in PARTS.items() if not any(map(file.shapes_under, prefixes))]
    if len(missing) == len(PARTS):
        raise CheckpointError(
            got=f"weights of a model that is not known, beginning with {next(iter(file.shapes), None)!r}: {file.path}",
            expected=SUPPORTED,
            mend="Choose another file.",
        )
    if file.shapes_under(SDXL.text_prefix) and not file.shapes_under(SDXL.second_text_prefix):
        missing.append("second text encoder")
    if missing == ["VAE"] and not vae:
        raise _without_vae(file.path, find_family_by_text(file))
    if set(missing) - ({"VAE"} if vae else set()):
        raise CheckpointError(
            got=f"{file.path} without its {', '.join(missing)}",
            expected=f"{SUPPORTED}, with UNet, VAE and text encoder in the file",
            mend="Take the full checkpoint, or a diffusers folder with its parts in subfolders.",
        )
    first, last = file.shapes.get(UNET + "input_blocks.0.0.weight"), file.shapes.get(UNET + "out.2.weight")
    if first and last:
        refuse_in_channels(file.path, first[1], last[0])
    if file.shapes_under(TEXT_XL):
        refuse_relative(file.path, file.shapes_under(UNET))
        refuse_zero_snr_xl(file.path, has_zero_snr(file))


def unet_from_ldm(tensors: Mapping[str, Tensor], builder: Builder, *, v_prediction: bool) -> UNet2DConditionModel:
    """A 2-D UNet from tensors under LDM's names, `model.diffusion_model.*`.

    Raises:
        CheckpointError: they do not fit.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    shapes = {name.removeprefix(UNET): tuple(tensor.shape) for name, tensor in tensors.items()}
    config = unet_config(shapes, v_prediction=v_prediction)
    return builder.unet(config, convert_ldm_unet_checkpoint(dict(tensors), config))


def _without_vae(path: Path, family: Family) -> CheckpointError:
    beside = [path.with_suffix(suffix) for suffix in VAES_BESIDE]
    example = next((other for other in beside if other.is_file()), family.vae_file)
    return CheckpointError(
        got=f"{path} without its VAE",
        expected=f"{SUPPORTED}, with UNet, VAE and text encoder in the file",
        mend=f"Give a VAE of its family, such as {example} (vae=...; --vae FILE on the command line), or take the full "
        "checkpoint.",
    )


def _load_vae(file: WeightFile, builder: Builder, family: Family, given: Path | None) -> Any:
    if given:
        return load_vae(given, family=family, dtype=builder.dtype, device=builder.device)
    return vae_from_ldm({name.removeprefix(VAE): t for name, t in file.read(VAE).items()}, builder, family)


def load_text_encoder(file: WeightFile, builder: Builder, family: Family) -> Any:
    """The text encoder in a single file, a frozen CLIPTextModel."""
    prefix, tensors = family.text_prefix, file.read(family.text_prefix)
    if family.open_clip:
        config = open_clip_text_config(file.shapes_under(prefix))
        return builder.text_encoder(config, _convert_open_clip(tensors, config, prefix))
    config = clip_text_config(bare_text_names(file.shapes_under(prefix)))
    return builder.text_encoder(config, {name.removeprefix(prefix): tensor for name, tensor in tensors.items()})


def load_second_text_encoder(file: WeightFile, builder: Builder, family: Family) -> CLIPTextModelWithProjection | None:
    """The second text encoder in a single file, frozen; None for a family that has one alone.

    Raises:
        CheckpointError: the family has two, and the second has no projection.
        KeyError: another tensor of the second is missing.
    """
    if not (prefix := family.second_text_prefix):
        return None
    bare = {name.removeprefix(prefix): tensor for name, tensor in file.read(prefix).items()}
    tensors = rename_original(bare)
    if PROJECTION not in tensors:
        raise CheckpointError(
            got=f"{file.path}, whose second text encoder has no {PROJECTION.removesuffix('.weight')}",
            expected=f"{SUPPORTED}, with all that makes the pooled text",
            mend="Take the full checkpoint, or a diffusers folder: some converters leave this tensor out.",
        )
    config = projected_text_config({name: tuple(tensor.shape) for name, tensor in tensors.items()})
    return builder.text_encoder_2(config, tensors)


def _convert_open_clip(tensors: Mapping[str, Tensor], config: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    layer = prefix + "transformer.resblocks."
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if not (name.startswith(layer) and int(name[len(layer) :].split(".")[0]) >= config["num_hidden_layers"])
    }
    return convert_open_clip_checkpoint(SimpleNamespace(config=SimpleNamespace(**config)), kept, prefix=prefix)
