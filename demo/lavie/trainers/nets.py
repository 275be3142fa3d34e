"""The cascade's networks, untrained: laid out as LaVie's, and small enough that all of them fit into 15 MB.

Every group norm has 32 groups, every attention 8 heads, and the text is that of the demo's checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file

from tav_core.models.lavie.inflate import inflate_base, inflate_interpolation
from tav_core.models.lavie.upscaler import UpscalerUNet
from tav_core.models.unet import InflatedUNet

from ...trainers.text import WIDTH
from .settings import SD_MODEL

# Never 32 at the first level: each of the 32 groups would be one channel, and no channel would keep its strength.
STILLS, UPSCALER, AUTOENCODER = (64, 64, 64), (64, 32), (64, 32, 64)
# The factor of the x4 upscaler's latents, which the autoencoder's are scaled to.
FACTOR = 0.08333
ORIGINAL_NAMES = {".attn_temp.": ".attn_temporal.", ".norm_temp.": ".norm_temporal."}


def make_stills_unet(widths: tuple[int, ...] = STILLS, in_channels: int = 4) -> UNet2DConditionModel:
    """A 2-D UNet in Stable Diffusion 1.x's layout: attention at all levels but the deepest."""
    levels = len(widths) - 1
    return UNet2DConditionModel(
        sample_size=12,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",) * levels + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * levels,
        attention_head_dim=8,
        norm_num_groups=32,
        cross_attention_dim=WIDTH,
    )


def make_base(stills: UNet2DConditionModel | None = None, *, positions: str = "lavie") -> InflatedUNet:
    """The base, from a UNet that was trained on stills."""
    return inflate_base(stills or make_stills_unet(), positions=positions)


@torch.no_grad()
def make_interpolation(stills: UNet2DConditionModel | None = None) -> InflatedUNet:
    """The interpolation: noisy latents and those of the key frames in, noise out.

    It starts from a UNet that was trained on stills, without yet looking at the keys.
    """
    unet, given = make_stills_unet(in_channels=8), (stills or make_stills_unet()).state_dict()
    first = given["conv_in.weight"]
    unet.load_state_dict({**given, "conv_in.weight": torch.cat([first, torch.zeros_like(first)], dim=1)})
    return inflate_interpolation(unet)


def make_upscaler() -> UpscalerUNet:
    """The upscaler: noisy latents and the low-resolution video in, velocity out."""
    levels = len(UPSCALER) - 1
    unet = UNet2DConditionModel(
        sample_size=24,
        in_channels=7,
        out_channels=4,
        block_out_channels=UPSCALER,
        layers_per_block=1,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels + ("UpBlock2D",),
        only_cross_attention=(True,) * levels + (False,),
        attention_head_dim=8,
        norm_num_groups=32,
        cross_attention_dim=WIDTH,
        use_linear_projection=True,
        num_class_embeds=1000,
    )
    return UpscalerUNet.from_2d(unet)


def make_autoencoder() -> AutoencoderKL:
    """The upscaler's autoencoder, f = 4."""
    levels = len(AUTOENCODER)
    return AutoencoderKL(
        block_out_channels=AUTOENCODER,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        norm_num_groups=32,
        latent_channels=4,
        sample_size=384,
        scaling_factor=FACTOR,
    )


@torch.no_grad()
def save_unet(unet: UNet2DConditionModel, path: Path) -> None:
    """Writes a UNet in half precision, under the names of LaVie's files."""
    renamed = {}
    for name, tensor in unet.state_dict().items():
        if isinstance(unet, UpscalerUNet):
            for own, original in ORIGINAL_NAMES.items():
                name = name.replace(own, original)
        renamed[name] = tensor.detach().cpu().half().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(renamed, path, metadata={"scaling_factor": str(latents_factor(unet))})


def latents_factor(unet: UNet2DConditionModel) -> float:
    """The factor of a UNet's latents: the demo's autoencoder's, or for the upscaler that of its own."""
    if isinstance(unet, UpscalerUNet):
        return FACTOR
    factor: float = json.loads((SD_MODEL / "vae" / "config.json").read_text())["scaling_factor"]
    return factor
