"""The VAE of Stable Diffusion 1.x and 2.x in a file or folder of its own, for checkpoints without one.

a diffusers folder       config.json and weights, or a whole pipeline, whose vae folder is read
one file                 LDM's names (`encoder.down.*`), bare or under `first_stage_model.` as in whole checkpoints;
                         or diffusers' names (`encoder.down_blocks.*`)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..models.families import ANY_FAMILY, Family
from ..models.unsupported import find_refused
from ..paths import check_input_path
from .build import Builder
from .ldm_configs import diffusers_vae_config, vae_config
from .part_folders import open_folder, read_json
from .weight_files import open_weights

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

CLASS = "AutoencoderKL"
EXPECTED = f"a VAE of {ANY_FAMILY}"
PREFIXES = ("first_stage_model.", "vae.", "")
PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")


def load_vae(path: str | Path, *, family: Family, dtype: torch.dtype, device: torch.device | str) -> AutoencoderKL:
    """Loads a frozen VAE.

    Args:
        path: a folder or file, see this module.
        family: the family of the model that it is for.

    Raises:
        CheckpointError: nothing there, damaged, would run code, no VAE, or one for other latents.
    """
    path = check_input_path(path, CheckpointError)
    builder = Builder(path, dtype, device)
    try:
        return _read_folder(path, builder, family) if path.is_dir() else _read_file(path, builder, family)
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        if isinstance(error, CheckpointError):
            raise
        raise _no_vae(path, f"a VAE whose layout is not known ({error})") from error


def vae_from_ldm(tensors: Mapping[str, Tensor], builder: Builder, family: Family) -> AutoencoderKL:
    """A VAE from tensors under LDM's names without a prefix; those that are not part of it are left out.

    Raises:
        CheckpointError: they do not fit.
        KeyError: a tensor that every such VAE has is missing.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    own = _own(tensors)
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    config = vae_config(shapes, scaling_factor=family.scaling_factor)
    return builder.vae(config, convert_ldm_vae_checkpoint(own, config))


def _read_file(path: Path, builder: Builder, family: Family) -> AutoencoderKL:
    file = open_weights(path)
    for prefix in PREFIXES:
        shapes = _own(file.shapes_under(prefix))
        if any(name.startswith("encoder.down.") for name in shapes):
            return vae_from_ldm(_strip(file.read(prefix), prefix), builder, family)
        if any(name.startswith("encoder.down_blocks.") for name in shapes):
            config = diffusers_vae_config(shapes, scaling_factor=family.scaling_factor)
            return builder.vae(config, _own(_strip(file.read(prefix), prefix)))
    refused = find_refused(file.shapes)
    # A VAE of another kind is a VAE alone, too.
    raise _no_vae(path, refused.title if refused else "weights without a VAE of a known layout")


def _read_folder(path: Path, builder: Builder, family: Family) -> AutoencoderKL:
    folder = path if (path / "config.json").is_file() else path / "vae"
    if not (folder / "config.json").is_file():
        raise _no_vae(path, "a folder without config.json, or a vae folder with one", "Give the folder, or a file.")
    config = read_json(folder / "config.json")
    if (kind := config.get("_class_name", CLASS)) != CLASS:
        raise _no_vae(path, f"a model of class {kind}")
    scaling = config.get("scaling_factor", family.scaling_factor)
    if not isinstance(scaling, (int, float)) or not math.isclose(scaling, family.scaling_factor, rel_tol=1e-3):
        raise _no_vae(path, f"a VAE with a scaling_factor of {scaling!r}, where {family.title} has another")
    return builder.vae(config, open_folder(folder).read())


def _strip(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _own(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if name.startswith(PARTS)}


def _no_vae(path: Path, what: str, mend: str = "Choose another, such as vae-ft-mse-840000.") -> CheckpointError:
    return CheckpointError(got=f"{what}: {path}", expected=EXPECTED, mend=mend)
