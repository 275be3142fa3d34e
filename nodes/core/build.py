"""Core MODELs of sizes that core's checkpoint loader does not know, from weights under diffusers' names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.latent_formats
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import comfy.utils
from torch import Tensor

from ...tav_core.cancelling import cancellable
from ...tav_core.errors import CheckpointError
from ...tav_core.layouts import all_finite
from .patchers import core_patcher, give_weights


def sd15_config(unet_config: Mapping[str, Any], *, scaling_factor: float) -> Any:
    """Core's Stable Diffusion 1.x with other sizes.

    Args:
        unet_config: of the UNet, in ComfyUI's terms.
        scaling_factor: of the latents.
    """
    config = comfy.supported_models.SD15(dict(unet_config))
    config.latent_format = comfy.latent_formats.SD15(scale_factor=scaling_factor)
    return config


def build_model(config: Any, weights: Mapping[str, Tensor], path: Path, *, disable_dynamic: bool = False) -> Any:
    """A MODEL in the dtype that ComfyUI chooses for this machine.

    Args:
        config: one of core's model configs.
        weights: all of the UNet's, under diffusers' names.
        path: of their file, for the message of the error.
        disable_dynamic: without DynamicVRAM, where ComfyUI has it.

    Raises:
        CheckpointError: a weight is missing or left over, or has another shape.
    """
    device = comfy.model_management.get_torch_device()
    dtypes, count = config.supported_inference_dtypes, sum(weight.numel() for weight in weights.values())
    dtype = comfy.model_management.unet_dtype(model_params=count, supported_dtypes=dtypes)
    config.set_inference_dtype(dtype, comfy.model_management.unet_manual_cast(dtype, device, dtypes))
    model = config.get_model({}, "")
    own = give_weights(model.diffusion_model).state_dict()
    names = {
        ours: theirs for ours, theirs in comfy.utils.unet_to_diffusers(config.unet_config).items() if theirs in own
    }
    check_same(weights, {ours: own[theirs] for ours, theirs in names.items()}, path)
    model.diffusion_model.load_state_dict({names[name]: weight.to(dtype) for name, weight in weights.items()})
    offload = comfy.model_management.unet_offload_device()
    patcher = comfy.model_patcher.ModelPatcher if disable_dynamic else core_patcher()
    return patcher(model, load_device=device, offload_device=offload)


def check_same(given: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> None:
    """Raises `CheckpointError` unless the weights of a file have the names and shapes of a model's own."""
    for name in [*own, *given]:
        got = tuple(given[name].shape) if name in given else "missing"
        expected = tuple(own[name].shape) if name in own else "no such weight"
        if got != expected:
            raise CheckpointError(
                got=f"weights that do not fit the model: {name} is {got}: {path}",
                expected=f"{expected}",
                mend="The file is cut short, or of another model: get it again.",
            )


def check_numbers(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raises `CheckpointError` unless the weights of a file are finite floats."""
    for name, weight in cancellable(weights.items()):
        if not weight.is_floating_point() or not all_finite(weight):
            raise CheckpointError(
                got=f"{name}, {weight.dtype}, which is not finite floats: {path}",
                expected="weights that are floats and finite",
                mend="The file is damaged, or quantized: get it again.",
            )
