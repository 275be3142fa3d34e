"""Reads a core MODEL: its architecture, its noise schedule, and its UNet as a diffusers UNet with the LoRAs merged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import comfy.lora
import comfy.model_base
import comfy.model_sampling
import comfy.utils
import torch
from torch import Tensor

from ...tav_core.checkpoints.ldm_configs import unet_config
from ...tav_core.checkpoints.refusals import (
    refuse_in_channels,
    refuse_pictures,
    refuse_relative,
    refuse_zero_snr_xl,
    wrong_family,
)
from ...tav_core.errors import CheckpointError, ConfigError
from ...tav_core.models.families import ANY_FAMILY, SUPPORTED
from ...tav_core.models.schedule import NoiseSchedule
from ...tav_core.models.unsupported import EDM, EDM_VELOCITY, find_refused_core_class

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from diffusers import UNet2DConditionModel

PREFIX = "diffusion_model."
LDM_PREFIX = "model.diffusion_model."
CLASS_EMBEDDING = "class_embedding."
# In messages, where a file's path would stand.
WHERE = Path("the MODEL input")


def check_model(model: ModelPatcher, *, takes_pictures: bool = False) -> None:
    """Checks that a MODEL is Stable Diffusion 1.x, 2.x or XL.

    Args:
        takes_pictures: whether InstructPix2Pix, whose UNet sees a picture beside the latents, is taken too.

    Raises:
        CheckpointError: it is not; the message names its family.
        ConfigError: a node has set it to other noise levels.
    """
    config = getattr(model.model.model_config, "unet_config", {})
    xl = is_xl(model)
    more = config.get("use_temporal_attention") or (config.get("adm_in_channels") and not xl)
    if "model_channels" not in config or more:
        refused = find_refused_core_class(type(model.model.model_config).__name__)
        raise wrong_family(WHERE, refused, mend=f"Load a {ANY_FAMILY} checkpoint.")
    if xl:
        refuse_relative(WHERE, read_shapes(model))
        refuse_other_noise(model)
    check_noise_levels(model)
    refuse_in_channels(WHERE, config["in_channels"], config["out_channels"])
    if not takes_pictures:
        refuse_pictures(WHERE, config["in_channels"], config["out_channels"])


def is_xl(model: ModelPatcher) -> bool:
    """Whether a MODEL has Stable Diffusion XL's added conditions: XL itself, its smaller relatives too."""
    return isinstance(model.model, comfy.model_base.SDXL)


def refuse_other_noise(model: ModelPatcher) -> None:
    """Refuses a MODEL of XL's UNet whose noise is another than XL's, by its file or by a node such as ModelSampling.

    Raises:
        CheckpointError: it is EDM's, or ends in pure noise.
    """
    sampling = model.get_model_object("model_sampling")
    if isinstance(sampling, comfy.model_sampling.ModelSamplingContinuousEDM):
        is_edm = isinstance(sampling, comfy.model_sampling.EDM)
        raise wrong_family(WHERE, EDM if is_edm else EDM_VELOCITY)
    refuse_zero_snr_xl(WHERE, bool(getattr(sampling, "zsnr", False)))


def check_noise_levels(model: ModelPatcher) -> None:
    """Raises `ConfigError` unless a MODEL predicts epsilon or velocity at Stable Diffusion's timesteps.

    A node such as ModelSamplingDiscrete can set something else. Read as an SD schedule, that would end in noise.
    """
    sampling, known = model.get_model_object("model_sampling"), comfy.model_sampling
    predicts_noise = isinstance(sampling, known.EPS) and not isinstance(sampling, (known.X0, known.EDM))
    other_levels = (known.ModelSamplingDiscreteEDM, known.StableCascadeSampling)
    if predicts_noise and isinstance(sampling, known.ModelSamplingDiscrete) and not isinstance(sampling, other_levels):
        return
    kinds = ", ".join(base.__name__ for base in type(sampling).__bases__)
    raise ConfigError(
        got=f"a MODEL whose sampling a node has set to {kinds}",
        expected="Stable Diffusion's own noise levels, with eps, v_prediction or lcm",
        mend="Take out the node whose name begins with ModelSampling, or choose one of these in ModelSamplingDiscrete.",
    )


def predicts_velocity(model: ModelPatcher) -> bool:
    """Whether a MODEL predicts velocity, by its file or by a node such as ModelSamplingDiscrete; otherwise epsilon."""
    return isinstance(model.get_model_object("model_sampling"), comfy.model_sampling.V_PREDICTION)


def read_shapes(model: ModelPatcher) -> dict[str, tuple[int, ...]]:
    """The shapes of a MODEL's weights, by their names without `diffusion_model.`."""
    return {name: tuple(t.shape) for name, t in model.model.diffusion_model.state_dict().items()}


def read_config(model: ModelPatcher) -> dict[str, Any]:
    """The config of a MODEL's UNet in diffusers' terms, as far as the shapes of its weights show it."""
    return unet_config(read_shapes(model), v_prediction=predicts_velocity(model))


def core_names(model: ModelPatcher) -> dict[str, str]:
    """diffusers' names of a MODEL's weights, mapped to ComfyUI's."""
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    # ComfyUI gives the layers of XL's added conditions a second name, which no UNet that is taken here has.
    own = {ours: theirs for ours, theirs in names.items() if not ours.startswith(CLASS_EMBEDDING)}
    return {ours: PREFIX + theirs for ours, theirs in own.items()}


def is_distilled(model: ModelPatcher) -> bool:
    """Whether a MODEL's sampling knows a few of its timesteps alone, as ModelSamplingDiscrete's lcm does."""
    sampling = model.get_model_object("model_sampling")
    return len(sampling.sigmas) < getattr(sampling, "num_timesteps", 0)


def read_sigmas(model: ModelPatcher) -> Tensor:
    """The noise levels of all timesteps of a MODEL, whose UNet counts timesteps as in its training if it is distilled,
    too.
    """
    sampling = model.get_model_object("model_sampling")
    if is_distilled(model):
        zsnr = getattr(sampling, "zsnr", None)
        sampling = comfy.model_sampling.ModelSamplingDiscrete(model.model.model_config, zsnr=zsnr)
    # On the CPU first: Apple's MPS has no float64.
    return sampling.sigmas.cpu().double()


def read_schedule(model: ModelPatcher) -> NoiseSchedule:
    """A MODEL's noise schedule. In ComfyUI x_sigma = x_0 + sigma noise, so alpha = 1 / (1 + sigma^2).

    Raises:
        ConfigError: its noise levels are not Stable Diffusion's, see `check_noise_levels`.
    """
    check_noise_levels(model)
    sigmas = read_sigmas(model)
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

    read = read_weights(model, dtype)
    weights = {LDM_PREFIX + name.removeprefix(PREFIX): tensor for name, tensor in read.items()}
    builder = Builder(WHERE, dtype, device)
    return unet_from_ldm(weights, builder, v_prediction=predicts_velocity(model))


def key_patches(model: ModelPatcher) -> dict[str, list]:
    """ComfyUI's `get_key_patches` for a MODEL's UNet: each weight, and the patches on it.

    Raises:
        CheckpointError: the MODEL is quantised.
    """
    if is_quantised(model):
        raise quantised("with scales beside its weights")
    return model.get_key_patches(PREFIX)


def is_quantised(model: ModelPatcher) -> bool:
    """Whether a MODEL has layers in ComfyUI's format of weights with scales, which `get_key_patches` cannot read."""
    return any(name.endswith(".comfy_quant") for name in model.model.diffusion_model.state_dict())


def quantised(how: str) -> CheckpointError:
    """What to say of a MODEL whose weights were rounded to a byte or less."""
    return CheckpointError(
        got=f"a quantised MODEL: {how}",
        expected=f"{SUPPORTED} in fp16, bf16 or fp32",
        mend="Load it unquantised: weight_dtype default, and ComfyUI started without --fp8_...-unet.",
    )


def read_weights(model: ModelPatcher, dtype: torch.dtype) -> Mapping[str, Tensor]:
    """A MODEL's weights on the CPU, with its weight patches applied in float32 to the originals.

    The live weights may already hold the patches, which must not be applied twice. Each is cast as soon as it is read:
    all of XL's in float32 would be 10 GB.
    """
    weights = {}
    for name, (original, *patches) in key_patches(model).items():
        weight, convert = original
        if not weight.is_floating_point() or weight.dtype.itemsize < 2:
            raise quantised(f"{name} is {weight.dtype}")
        weight = convert(weight.detach().to("cpu", torch.float32, copy=True), inplace=True)
        weight = comfy.lora.calculate_weight(patches, weight, name) if patches else weight
        weights[name] = weight.to(dtype)
    return weights
