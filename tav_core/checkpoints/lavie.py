"""Loads LaVie's three UNets (arXiv 2309.15103): lavie_base.pt, lavie_interpolation.pt and lavie_vsr.pt.

    as published     a pickle, read with `weights_only=True`, with the tensors at once or under "ema"
    converted        the same tensors as safetensors, in the names of this library (`convert_lavie`)
    in a folder      a diffusers folder with either in it, or in its unet folder

The content decides which of the three a file is. The VAE and the text encoder are Stable Diffusion's: `load_checkpoint`
reads those of base and interpolation, and upscaler_parts.py those of super-resolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, ConfigError
from ..models.lavie.inflate import TRAINED_DISTANCE, inflate_base, inflate_interpolation
from ..models.lavie.schedules import lavie_schedule
from ..models.lavie.upscaler import UpscalerUNet
from ..models.positions import LAVIE_CHANNELS, rotary_rates
from ..models.schedule import NoiseSchedule
from ..models.unet import InflatedUNet
from ..models.unsupported import find_refused
from ..paths import check_input_path
from ..tensor_files import save_tensors
from .build import Builder
from .lavie_configs import PUBLISHED, find_lavie_kind, lavie_unet_config
from .part_folders import open_folder
from .weight_files import SAFETENSORS_SUFFIXES, WeightFile, open_weights

# The constant of the rotary positions, which the original keeps in every layer.
FREQUENCIES = "rotary_emb.freqs"
RENAMED = {".attn_temporal.": ".attn_temp.", ".norm_temporal.": ".norm_temp."}


@dataclass(frozen=True, kw_only=True)
class LaVieKind:
    """One of the three models.

    Args:
        title: its name in messages.
        file: the name of the published file.
        inflate: makes it from a 2-D UNet.
        scaling_factor: of its latents, Stable Diffusion's or the x4 upscaler's.
    """

    title: str
    file: str
    inflate: Callable[..., InflatedUNet]
    scaling_factor: float = 0.18215


KINDS = {
    "base": LaVieKind(title="LaVie's base model", file=PUBLISHED["base"], inflate=inflate_base),
    "interpolation": LaVieKind(
        title="LaVie's interpolation", file=PUBLISHED["interpolation"], inflate=inflate_interpolation
    ),
    "super_resolution": LaVieKind(
        title="LaVie's super-resolution",
        file=PUBLISHED["super_resolution"],
        inflate=UpscalerUNet.from_2d,
        scaling_factor=0.08333,
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class LaVie:
    """One of LaVie's models, frozen.

    Args:
        kind: "base", "interpolation" or "super_resolution".
        unet: the video UNet.
        schedule: the noise levels that it was trained with, and what it predicts.
        path: where it was loaded from.
        scaling_factor: of its latents; the VAE that encodes and decodes them may not say.
    """

    kind: str
    unet: InflatedUNet
    schedule: NoiseSchedule
    path: Path
    scaling_factor: float


@torch.inference_mode(False)
def load_lavie(
    path: str | Path,
    kind: str,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    backend: str = "sdpa",
    unet_config: Mapping[str, Any] | None = None,
    limit: bool = True,
) -> LaVie:
    """Loads one of LaVie's models from the disk.

    Args:
        path: the file, or a folder.
        kind: which of the three is wanted: "base", "interpolation" or "super_resolution".
        dtype, device: of all weights.
        backend: of its attention, "sdpa" or "xformers".
        unet_config: settings of a diffusers UNet that the shapes of the weights do not show, for models of other sizes
            than the published ones, such as `norm_num_groups`.
        limit: whether frames that are more than 15 apart share the bias of 15: the published weights hold nothing for
            longer distances.

    Raises:
        CheckpointError: no such file, a damaged one, one that would run code, another of the three, or another model.
        ConfigError: the kind is unknown.
    """
    if kind not in KINDS:
        raise ConfigError(got=f"kind {kind!r}", expected=f"one of {', '.join(KINDS)}", mend="Name one of the three.")
    file = open_file_or_folder(path)
    check_kind(file, kind)
    config = {**lavie_unet_config(file.shapes), **(unet_config or {})}
    tensors = own_names(file.read(), file.path)
    unet = build_unet(Builder(file.path, dtype, device), kind, config, tensors, backend)
    if limit:
        unet.limit_distance(TRAINED_DISTANCE)
    scale = find_scaling_factor(file, kind)
    return LaVie(kind=kind, unet=unet, schedule=lavie_schedule(kind), path=file.path, scaling_factor=scale)


def start_from(unet: InflatedUNet, path: str | Path) -> None:
    """Copies the temporal weights of LaVie's interpolation into a UNet that is to be tuned, in place.

    Interpolation has Tune-A-Video's very block, so these weights fit a model of the same widths, and know motion.

    Raises:
        CheckpointError: the file is not LaVie's interpolation, or is damaged.
        MotionError: it is of another size than the UNet.
    """
    unet.load_temporal(load_lavie(path, "interpolation").unet.temporal_state())


def convert_lavie(path: str | Path, out: str | Path, *, dtype: torch.dtype | None = None) -> str:
    """Writes a published file as safetensors, which load faster and can run no code.

    Args:
        dtype: of the weights; as in the file if None.

    Returns:
        Which of the three it is.

    Raises:
        CheckpointError: the file is none of the three, or cannot be read.
        ConfigError: the new file has another ending than .safetensors.
        OutputError: the result cannot be written.
    """
    if Path(out).suffix.lower() not in SAFETENSORS_SUFFIXES:
        raise ConfigError(
            got=f"{out} to write safetensors to", expected="a name that ends in .safetensors", mend="Rename it."
        )
    file = open_file_or_folder(path)
    kind = find_lavie_kind(file.shapes)
    if kind is None:
        raise not_lavie(file, "one of LaVie's models: " + ", ".join(each.file for each in KINDS.values()))
    tensors = {name: t.to(dtype or t.dtype).contiguous() for name, t in own_names(file.read(), file.path).items()}
    save_tensors(Path(out), tensors, {**file.metadata, "lavie": kind})
    return kind


def open_file_or_folder(path: str | Path) -> WeightFile:
    """Opens a file of weights, or the weights in a folder or in its `unet` folder."""
    path = check_input_path(path, CheckpointError)
    if not path.is_dir():
        return open_weights(path)
    return open_folder(path / "unet" if (path / "unet").is_dir() else path)


def find_scaling_factor(file: WeightFile, kind: str) -> float:
    """The factor of a model's latents: the published one, unless the file's metadata has a `scaling_factor`.

    Raises:
        CheckpointError: the metadata has one that is no positive number.
    """
    said = file.metadata.get("scaling_factor")
    try:
        factor = KINDS[kind].scaling_factor if said is None else float(said)
    except ValueError:
        factor = 0.0
    if not 0 < factor < math.inf:
        raise CheckpointError(
            got=f"a scaling_factor of {said!r} in the metadata of {file.path}",
            expected="a positive number",
            mend="Write the file again, with the scaling_factor of the VAE that it was trained with.",
        )
    return factor


def check_kind(file: WeightFile, kind: str) -> None:
    """Raises `CheckpointError` unless a file holds the model that is wanted."""
    wanted, found = KINDS[kind], find_lavie_kind(file.shapes)
    if found is None:
        raise not_lavie(file, f"{wanted.title}, {wanted.file}")
    if found != kind:
        raise CheckpointError(
            got=f"{KINDS[found].title} ({KINDS[found].file}): {file.path}",
            expected=f"{wanted.title}, {wanted.file}",
            mend=f"Choose {wanted.file}; each of the three does one step.",
        )


def not_lavie(file: WeightFile, expected: str) -> CheckpointError:
    """The refusal of another model."""
    refused = find_refused(file.shapes)
    return CheckpointError(
        got=f"{refused.title if refused else 'weights of another model'}: {file.path}",
        expected=expected,
        mend="Get the file from LaVie's page; a motion module of AnimateDiff or another video model does not fit.",
    )


def own_names(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Tensors under this library's names, without the constants of the rotary positions, which are checked.

    Raises:
        CheckpointError: these constants have other values than the original's.
    """
    renamed = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("module.")
        if name.endswith(FREQUENCIES):
            check_frequencies(name, tensor, path)
            continue
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed


def check_frequencies(name: str, tensor: Tensor, path: Path) -> None:
    """Raises `CheckpointError` unless a file's rotary positions turn by the angles that this library has built in."""
    expected = rotary_rates(LAVIE_CHANNELS // 2)
    if tensor.shape != expected.shape or not torch.allclose(tensor.float(), expected, rtol=2e-3, atol=1e-6):
        raise CheckpointError(
            got=f"other rotary positions than LaVie's in {name}: {path}",
            expected=f"{len(expected)} angles per frame, 10000^(-j/16)",
            mend="It is damaged, or of a changed LaVie: get the published file.",
        )


def build_unet(
    builder: Builder, kind: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor], backend: str
) -> InflatedUNet:
    """The UNet of one of the three, with exactly these tensors."""
    from diffusers import UNet2DConditionModel

    def make() -> InflatedUNet:
        return KINDS[kind].inflate(UNet2DConditionModel.from_config(dict(config)), backend=backend)

    return builder.build(f"UNet of {KINDS[kind].title}", make, tensors)
