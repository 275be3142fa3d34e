"""Sizes of UNets that memory is estimated for and counted on."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from benchmarks.sizes import Size

# Stable Diffusion 1.x's layout, narrow enough to be counted in seconds.
NARROW = Size(
    unet={"block_out_channels": (64, 128, 256, 256), "cross_attention_dim": 768, "attention_head_dim": 8},
    vae=None,
    pixels=512,
    num_frames=(8, 8),
    runs=1,
)


def unet_stub():
    """What an estimate asks of a UNet of Stable Diffusion 1.5."""
    config = SimpleNamespace(block_out_channels=(320, 640, 1280, 1280))
    return SimpleNamespace(device=torch.device("cpu"), dtype=torch.bfloat16, config=config)
