"""LaVie's three models with random weights, as wide as the demo's model, whose text model they are used with.

Core's UNet has 32 groups and 8 heads, and so have they. No weight is zero, so that every layer counts.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

SIZES: dict[str, Any] = {
    "block_out_channels": [64, 128, 192],
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "layers_per_block": 1,
    "attention_head_dim": 8,
    "cross_attention_dim": 128,
}
OTHERS: dict[str, dict[str, Any]] = {
    "base": {},
    "interpolation": {"in_channels": 8},
    "super_resolution": {
        "in_channels": 7,
        "num_class_embeds": 1000,
        "use_linear_projection": True,
        "only_cross_attention": [True, True, False],
    },
}


def write_lavie(
    path: Path, kind: str, *, seed: int = 0, about: dict[str, str] | None = None, library: str = "tav_core"
) -> Path:
    """Writes one of the three, under the library's names.

    Args:
        about: the file's metadata.
        library: the name that the library was imported under.
    """
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    kinds = import_module(f"{library}.checkpoints.lavie").KINDS
    unet = kinds[kind].inflate(UNet2DConditionModel(**SIZES, **OTHERS[kind]))
    save_file({name: draw(name, tensor) for name, tensor in unet.state_dict().items()}, path, about)
    return path


def write_x4_vae(path: Path) -> Path:
    """Writes a VAE of the x4 upscaler's size, under the names of its checkpoint."""
    from diffusers import AutoencoderKL

    torch.manual_seed(4)
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3}
    vae = AutoencoderKL(block_out_channels=[128, 256, 512], layers_per_block=2, latent_channels=4, **blocks)
    weights = {ldm_name(name): draw(name, tensor).half() for name, tensor in vae.state_dict().items()}
    flat = {name: t[..., None, None] for name, t in weights.items() if ".attn_1." in name and t.ndim == 2}
    save_file({**weights, **flat}, path)
    return path


LDM_NAMES = {
    r"up_blocks\.(\d)\.": lambda found: f"up.{2 - int(found[1])}.",
    r"down_blocks\.": "down.",
    r"mid_block\.resnets\.0": "mid.block_1",
    r"mid_block\.resnets\.1": "mid.block_2",
    r"mid_block\.attentions\.0": "mid.attn_1",
    r"resnets": "block",
    r"(up|down)samplers\.0": r"\1sample",
    r"conv_norm_out": "norm_out",
    r"conv_shortcut": "nin_shortcut",
    r"group_norm": "norm",
    r"to_out\.0": "proj_out",
    r"to_([qkv])\b": r"\1",
}


def ldm_name(name: str) -> str:
    """The name of a VAE's weight in a checkpoint of one file."""
    for ours, theirs in LDM_NAMES.items():
        name = re.sub(ours, theirs, name)
    return name


def draw(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Random values that neither die nor explode on their way through many layers."""
    noise = torch.randn(tensor.shape)
    if tensor.ndim == 1:
        return 0.1 * noise + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
    return noise if "embedding" in name or "bias" in name else noise * tensor[0].numel() ** -0.5
