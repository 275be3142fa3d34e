"""The models that are timed, built from their configs with random weights, and the clips they are timed on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tav_core.layouts import VAE_FACTOR
from tav_core.models.conditioning import NUM_SIZES, Conditioning
from tav_core.models.schedule import NoiseSchedule
from tav_core.models.shared_weights import cast

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from tav_core.denoisers.denoiser import UNetDenoiser

DEMO = Path(__file__).resolve().parent.parent / "demo" / "model"
SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
TEXT_TOKENS = 77
LEVELS = 4
# The width of SDXL's pooled text.
POOLED = 1280
SD1 = {"cross_attention_dim": 768, "attention_head_dim": 8}
# From stable-diffusion-2-1's unet/config.json; its attention_head_dim is the number of heads at each level.
SD2 = {
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
    "upcast_attention": True,
}
# From stable-diffusion-xl-base-1.0's unet/config.json, likewise.
SDXL = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": POOLED + NUM_SIZES * 256,
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """A model and the clip it is timed on.

    Args:
        unet: settings of `UNet2DConditionModel` in Stable Diffusion's layout; None for those of the demo model.
        vae: widths of `AutoencoderKL` in Stable Diffusion's layout; None for those of the demo model.
        pixels: width and height of the clip.
        num_frames: length of the clip on a CPU and on a GPU.
        runs: how often a stage is timed on a CPU, after one warm-up; 1 means a single run without a warm-up.
        prediction_type: "epsilon" or "v_prediction".
    """

    unet: Mapping[str, Any] | None
    vae: tuple[int, ...] | None
    pixels: int
    num_frames: tuple[int, int]
    runs: int
    prediction_type: str = "epsilon"


SIZES = {
    "demo": Size(unet=None, vae=None, pixels=96, num_frames=(8, 8), runs=5),
    "small": Size(
        unet={"block_out_channels": (128, 256, 512, 512), **SD1},
        vae=(64, 128, 256, 256),
        pixels=256,
        num_frames=(8, 8),
        runs=3,
    ),
    "sd15": Size(
        unet={"block_out_channels": (320, 640, 1280, 1280), **SD1},
        vae=(128, 256, 512, 512),
        pixels=512,
        num_frames=(2, 32),
        runs=1,
    ),
    "sd21": Size(
        unet={"block_out_channels": (320, 640, 1280, 1280), **SD2},
        vae=(128, 256, 512, 512),
        pixels=768,
        num_frames=(2, 32),
        runs=1,
        prediction_type="v_prediction",
    ),
    "sdxl": Size(
        unet={"block_out_channels": (320, 640, 1280), **SDXL},
        vae=(128, 256, 512, 512),
        pixels=512,
        num_frames=(8, 24),
        runs=1,
    ),
}


def build_unet(size: Size, dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
    """A frozen 2-D UNet with random weights; inside `torch.device("meta")` it has shapes but no values.

    In half precision it is never whole in float32, which would take 10 GB for Stable Diffusion XL.
    """
    from diffusers import UNet2DConditionModel

    config = size.unet or json.loads((DEMO / "unet" / "config.json").read_text())
    if dtype == torch.float32:
        return build(UNet2DConditionModel, config)
    with torch.device("meta"):
        unet = cast(build(UNet2DConditionModel, config), torch.device("meta"), dtype)
    return fill(unet.to_empty(device="cpu"))


@torch.no_grad()
def fill(module: nn.Module) -> nn.Module:
    """Gives a network without values random ones, in its own dtype: matrices keep the scale of what goes through."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
        else:
            parameter.fill_(float("norm" in name and name.endswith("weight")))
    return module


def build_vae(size: Size) -> AutoencoderKL:
    """A frozen autoencoder with random weights, likewise."""
    from diffusers import AutoencoderKL

    config = json.loads((DEMO / "vae" / "config.json").read_text())
    if size.vae is not None:
        config = {
            "block_out_channels": size.vae,
            "down_block_types": ["DownEncoderBlock2D"] * LEVELS,
            "up_block_types": ["UpDecoderBlock2D"] * LEVELS,
            "layers_per_block": 2,
        }
    return build(AutoencoderKL, config)


def build(cls: Any, config: Mapping[str, Any]) -> Any:
    torch.manual_seed(0)
    return cls.from_config(config).eval().requires_grad_(False)


def build_denoiser(
    unet: UNet2DConditionModel,
    *,
    device: str,
    dtype: torch.dtype,
    backend: str = "sdpa",
    prediction_type: str = "epsilon",
    **modes: Any,
) -> UNetDenoiser:
    """The inflated model of a 2-D UNet, which is moved to device and dtype in place; `modes` are for the inflation."""
    from tav_core.denoisers.denoiser import UNetDenoiser
    from tav_core.models.unet import InflatedUNet

    with torch.device("cpu"):  # a schedule needs values, whatever device the caller builds networks on
        schedule = NoiseSchedule.from_config({**SCHEDULER, "prediction_type": prediction_type})
    inflated = InflatedUNet.from_2d(unet.to(device, dtype), backend=backend, **modes)
    return UNetDenoiser(unet=inflated, schedule=schedule)


def random_inputs(
    unet: UNet2DConditionModel, size: Size, num_frames: int, device: str
) -> tuple[torch.Tensor, torch.Tensor | Conditioning]:
    """Latents and what the UNet is told, see the two functions below."""
    return random_latents(size, num_frames, device), random_context(unet, device)


def random_latents(size: Size, num_frames: int, device: str) -> torch.Tensor:
    """Latents `1 4 f h w`, float32."""
    side = size.pixels // VAE_FACTOR
    return torch.randn((1, 4, num_frames, side, side), generator=torch.Generator().manual_seed(1)).to(device)


def random_context(unet: UNet2DConditionModel, device: str) -> torch.Tensor | Conditioning:
    """A text's embeddings, `1 77 d`, float32, and the pooled text of Stable Diffusion XL, whose size is the clip's."""
    generator = torch.Generator().manual_seed(2)
    text = torch.randn((1, TEXT_TOKENS, unet.config.cross_attention_dim), generator=generator).to(device)
    if unet.config.addition_embed_type is None:
        return text
    return Conditioning(text=text, pooled_text=torch.randn((1, POOLED), generator=generator).to(device))
