"""Reads a core MODEL: its architecture, its noise schedule, and its UNet as a diffusers UNet with the LoRAs merged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.lora
import comfy.model_base
import comfy.utils
import torch
from torch import Tensor

from ...tav_core.checkpoints.ldm_configs import unet_config
from ...tav_core.checkpoints.refusals import refuse_in_channels, refuse_pictures, wrong_family
from ...tav_core.errors import CheckpointError
from ...tav_core.models.families import SD1, SD2, SDXL, SUPPORTED, join_titles
from ...tav_core.models.parameter_names import is_temporal
from ...tav_core.models.schedule import NoiseSchedule
from ...tav_core.models.unsupported import Refused, find_refused_core_class

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from diffusers import UNet2DConditionModel

PREFIX = "diffusion_model."
IN_COMFYUI = join_titles((SD1, SD2))
LIBRARY_ALONE = Refused(title=SDXL.title, why="The command line tunes and edits it; the nodes do not yet.")
LDM_PREFIX = "model.diffusion_model."


def check_model(model: ModelPatcher, *, takes_pictures: bool = False) -> None:
    """Checks that a MODEL is Stable Diffusion 1.x or 2.x.

    Args:
        takes_pictures: whether InstructPix2Pix, whose UNet sees a picture beside the latents, is taken too.

    Raises:
        CheckpointError: it is not; the message names its family.
    """
    config = getattr(model.model.model_config, "unet_config", {})
    where = Path("the MODEL input")
    if "model_channels" not in config or config.get("adm_in_channels") or config.get("use_temporal_attention"):
        name = type(model.model.model_config).__name__
        refused = LIBRARY_ALONE if name == "SDXL" else find_refused_core_class(name)
        raise wrong_family(where, refused, mend=f"Load a {IN_COMFYUI} checkpoint.")
    refuse_in_channels(where, config["in_channels"], config["out_channels"])
    if not takes_pictures:
        refuse_pictures(where, config["in_channels"], config["out_channels"])


def predicts_velocity(model: ModelPatcher) -> bool:
    """Whether a MODEL predicts velocity; otherwise it predicts epsilon."""
    return model.model.model_type == comfy.model_base.ModelType.V_PREDICTION


def read_config(model: ModelPatcher) -> dict[str, Any]:
    """The config of a MODEL's UNet in diffusers' terms, as far as the shapes of its weights show it."""
    shapes = {name: tuple(t.shape) for name, t in model.model.diffusion_model.state_dict().items()}
    return unet_config(shapes, v_prediction=predicts_velocity(model))


def core_names(model: ModelPatcher) -> dict[str, str]:
    """diffusers' names of a MODEL's weights, mapped to ComfyUI's."""
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    return {ours: PREFIX + theirs for ours, theirs in names.items()}


def read_schedule(model: ModelPatcher) -> NoiseSchedule:
    """A MODEL's noise schedule. In ComfyUI x_sigma = x_0 + sigma noise, so alpha = 1 / (1 + sigma^2)."""
    sigmas = model.get_model_object("model_sampling").sigmas.double().cpu()
    alphas = tuple((1 / (1 + sigmas**2)).tolist())
    return NoiseSchedule(
        alphas=alphas,
        final_alpha=alphas[0],
        steps_offset=1,
        prediction_type="v_prediction" if predicts_velocity(model) else "epsilon",
        config={},
    )


def read_unet(model: ModelPatcher, *, dtype: torch.dtype, device: torch.device) -> UNet2DConditionModel:
    """The UNet of a MODEL, LoRAs merged, as a frozen diffusers UNet. All weights are copies.

    Raises:
        CheckpointError: the weights are not those of a plain UNet; they are quantised, for instance.
    """
    from ...tav_core.checkpoints.build import Builder
    from ...tav_core.checkpoints.single_file import unet_from_ldm

    weights = {LDM_PREFIX + name.removeprefix(PREFIX): tensor for name, tensor in read_weights(model).items()}
    builder = Builder(Path("the MODEL input"), dtype, device)
    return unet_from_ldm(weights, builder, v_prediction=predicts_velocity(model))


def key_patches(model: ModelPatcher) -> dict[str, list]:
    """ComfyUI's `get_key_patches` for a MODEL's own weights, without those of a motion.

    All clones share one model. While another clone with a motion is loaded, that motion's weights are in it.
    """
    return {name: patches for name, patches in model.get_key_patches(PREFIX).items() if not is_temporal(name)}


def read_weights(model: ModelPatcher) -> Mapping[str, Tensor]:
    """A MODEL's weights on the CPU in float32, with its weight patches applied to the originals.

    The live weights may already hold the patches, which must not be applied twice.
    """
    weights = {}
    for name, (original, *patches) in key_patches(model).items():
        weight, convert = original
        if not weight.is_floating_point() or weight.dtype.itemsize < 2:
            raise CheckpointError(
                got=f"a quantised MODEL: {name} is {weight.dtype}",
                expected=f"{SUPPORTED} in fp16, bf16 or fp32",
                mend="Load the checkpoint unquantised, with weight_dtype default.",
            )
        weight = convert(weight.detach().to("cpu", torch.float32, copy=True), inplace=True)
        weights[name] = comfy.lora.calculate_weight(patches, weight, name) if patches else weight
    return weights
