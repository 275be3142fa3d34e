"""The models and clips that are timed: UNets of random weights, built from their configs, and random latents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tav_core.schedule import NoiseSchedule

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from tav_core.denoiser import UNetDenoiser

DEMO_UNET = Path(__file__).resolve().parent.parent / "demo" / "model" / "unet" / "config.json"
SCHEDULER = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
TEXT_TOKENS = 77


@dataclass(frozen=True, kw_only=True)
class Size:
    """A model and the clip it is timed on.

    Args:
        unet: settings of `UNet2DConditionModel`, of Stable Diffusion 1.x's layout; None is the demo model's own.
        pixels: width and height of the clip.
        num_frames: of the clip, on a CPU and on a GPU.
        runs: how often a stage is timed on a CPU, after one warm-up; 1 is a single run without one.
    """

    unet: Mapping[str, Any] | None
    pixels: int
    num_frames: tuple[int, int]
    runs: int


SIZES = {
    "demo": Size(unet=None, pixels=96, num_frames=(8, 8), runs=5),
    "small": Size(
        unet={"block_out_channels": (128, 256, 512, 512), "cross_attention_dim": 768, "attention_head_dim": 8},
        pixels=256,
        num_frames=(8, 8),
        runs=3,
    ),
    "sd15": Size(
        unet={"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "attention_head_dim": 8},
        pixels=512,
        num_frames=(4, 24),
        runs=1,
    ),
}


def build_unet(size: Size) -> UNet2DConditionModel:
    """A frozen 2-D UNet of random weights, in float32 on the CPU."""
    from diffusers import UNet2DConditionModel

    config = size.unet or json.loads(DEMO_UNET.read_text())
    torch.manual_seed(0)
    return UNet2DConditionModel.from_config(config).eval().requires_grad_(False)


def build_denoiser(unet: UNet2DConditionModel, *, device: str, dtype: torch.dtype) -> UNetDenoiser:
    """The inflated model of a 2-D UNet, which is moved."""
    from tav_core.denoiser import UNetDenoiser
    from tav_core.unet import InflatedUNet

    return UNetDenoiser(
        unet=InflatedUNet.from_2d(unet.to(device, dtype)), schedule=NoiseSchedule.from_config(SCHEDULER)
    )


def random_inputs(
    unet: UNet2DConditionModel, size: Size, num_frames: int, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents `1 4 f h w` and a text's embeddings `1 77 d`, float32."""
    generator = torch.Generator().manual_seed(1)
    side = size.pixels // 8
    latents = torch.randn((1, 4, num_frames, side, side), generator=generator)
    context = torch.randn((1, TEXT_TOKENS, unet.config.cross_attention_dim), generator=generator)
    return latents.to(device), context.to(device)
