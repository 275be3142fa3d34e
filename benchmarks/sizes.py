"""The models and clips that are timed, built with random weights from their configs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel

DEMO = Path(__file__).resolve().parent.parent / "demo" / "model"
LEVELS = 4
SD1 = {"cross_attention_dim": 768, "attention_head_dim": 8}
# stable-diffusion-2-1's unet/config.json; what it calls attention_head_dim is the number of heads of each level.
SD2 = {
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
    "upcast_attention": True,
}


@dataclass(frozen=True, kw_only=True)
class Size:
    """A model and the clip it is timed on.

    Args:
        unet: settings of `UNet2DConditionModel`, of Stable Diffusion's layout; None is the demo model's own.
        vae: widths of `AutoencoderKL`, of Stable Diffusion's layout; None is the demo model's own.
        pixels: width and height of the clip.
        num_frames: of the clip, on a CPU and on a GPU.
        runs: how often a stage is timed on a CPU, after one warm-up; 1 is a single run without one.
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
}


def build_unet(size: Size, device: str = "cpu") -> UNet2DConditionModel:
    """A frozen 2-D UNet of random weights in float32; on the device "meta" it has shapes alone."""
    from diffusers import UNet2DConditionModel

    config = size.unet or json.loads((DEMO / "unet" / "config.json").read_text())
    return build(UNet2DConditionModel, config, device)


def build_vae(size: Size, device: str = "cpu") -> AutoencoderKL:
    """A frozen autoencoder of random weights in float32; on the device "meta" it has shapes alone."""
    from diffusers import AutoencoderKL

    config = json.loads((DEMO / "vae" / "config.json").read_text())
    if size.vae is not None:
        config = {
            "block_out_channels": size.vae,
            "down_block_types": ["DownEncoderBlock2D"] * LEVELS,
            "up_block_types": ["UpDecoderBlock2D"] * LEVELS,
            "layers_per_block": 2,
        }
    return build(AutoencoderKL, config, device)


def build(cls: Any, config: Mapping[str, Any], device: str) -> Any:
    torch.manual_seed(0)
    with torch.device(device):
        return cls.from_config(config).eval().requires_grad_(False)
